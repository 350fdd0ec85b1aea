// The two versions of a track, face to face: the call's waveform rises, the response's hangs below it.

import { clock, el } from "./elements.js";

const NAMES = ["A", "B"];
const BAR_PX = 3;
const GAP_PX = 2;
const KEY_STEPS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -15, PageUp: 15 }; // seconds

// One voice at a time: whatever starts to play silences the rest of the page.
document.addEventListener(
  "play",
  ({ target }) => {
    for (const other of document.querySelectorAll("audio")) if (other !== target) other.pause();
  },
  true,
);

/** Media of our own server by path, so that it plays under whichever of its names this page was opened. */
export function ownMedia(address) {
  const url = new URL(address, location.href);
  return url.pathname.startsWith("/media/") ? url.pathname + url.search : url.href;
}

/** The player of a track: one voice per version (`{variant audioUrl durationSeconds waveform stems}`). */
export function duet(title, versions) {
  const voices = versions.filter(({ audioUrl }) => audioUrl).map((version, index) => voice(title, version, index));
  return el("div", { className: "duet" }, ...voices, ...versions.map(stemList));
}

function voice(title, version, index) {
  const name = `version ${NAMES[index] ?? index + 1}`;
  const audio = el("audio", { preload: "metadata", src: ownMedia(version.audioUrl) });
  const button = el("button", { type: "button", className: "play", aria: { label: `Play ${name} of ${title}` } });
  const canvas = el("canvas", { aria: { hidden: "true" } });
  const slider = el("div", { className: "wave", role: "slider", tabIndex: 0, aria: { label: `Position in ${name}`, valuemin: 0 } }, canvas);
  const time = el("span", { className: "time" });
  const length = () => audio.duration || version.durationSeconds || 0;

  function show() {
    const label = `${clock(audio.currentTime)} of ${clock(length())}`;
    slider.setAttribute("aria-valuemax", Math.round(length()));
    slider.setAttribute("aria-valuenow", Math.round(audio.currentTime));
    slider.setAttribute("aria-valuetext", label);
    time.textContent = audio.currentTime ? clock(audio.currentTime) : clock(length());
    button.dataset.playing = !audio.paused;
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${name} of ${title}`);
    draw(canvas, version.waveform ?? [], { played: audio.currentTime / (length() || 1), downward: index % 2 === 1 });
  }

  const toggle = () => (audio.paused ? audio.play().catch(() => (time.textContent = "cannot play")) : audio.pause());
  const seek = (seconds) => (audio.currentTime = Math.min(length(), Math.max(0, seconds)));
  button.onclick = toggle;
  slider.onpointerdown = (event) => {
    const { left, width } = slider.getBoundingClientRect();
    seek(((event.clientX - left) / width) * length());
  };
  slider.onkeydown = (event) => {
    if (event.key in KEY_STEPS) seek(audio.currentTime + KEY_STEPS[event.key]);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(length());
    else if (event.key === " " || event.key === "Enter") toggle();
    else return;
    event.preventDefault();
  };
  for (const event of ["loadedmetadata", "timeupdate", "seeked", "play", "pause", "ended"]) audio.addEventListener(event, show);
  new ResizeObserver(show).observe(slider);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

  const letter = el("span", { className: "letter", aria: { hidden: "true" } }, NAMES[index] ?? String(index + 1));
  return el("div", { className: "voice", data: { part: index % 2 ? "response" : "call" } }, button, letter, slider, time, audio);
}

/** Bars of `peaks` (0 to 1) across the canvas; those before `played` (0 to 1) in the voice's colour. */
function draw(canvas, peaks, { played, downward }) {
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return;
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  pen.scale(scale, scale);
  const count = Math.floor(width / (BAR_PX + GAP_PX));
  for (let bar = 0; bar < count; bar++) {
    const from = Math.floor((bar * peaks.length) / count);
    const to = Math.max(from + 1, Math.floor(((bar + 1) * peaks.length) / count));
    const tall = Math.max(2, Math.max(0, ...peaks.slice(from, to)) * height);
    pen.fillStyle = style.getPropertyValue(bar / count < played ? "--voice" : "--voice-quiet");
    pen.beginPath();
    pen.roundRect(bar * (BAR_PX + GAP_PX), downward ? 0 : height - tall, BAR_PX, tall, BAR_PX / 2);
    pen.fill();
  }
}

function stemList(version, index) {
  if (!version.stems.length) return null;
  const items = version.stems.filter(({ audioUrl }) => audioUrl).map(({ kind, audioUrl }) => {
    const name = kind.replaceAll("_", " ").toLowerCase();
    const audio = el("audio", { controls: true, preload: "none", src: ownMedia(audioUrl), aria: { label: `${name}, version ${NAMES[index]}` } });
    return el("li", {}, el("span", {}, name), audio);
  });
  const summary = el("summary", {}, `${items.length} stems of version ${NAMES[index] ?? index + 1}`);
  return el("details", { className: "stems" }, summary, el("ul", {}, ...items));
}
