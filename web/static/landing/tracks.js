// The list of answers: one card per track, newest first, each kept as true as the last event about it.

import { VERSIONS } from "./documents.js";
import { duet, ownMedia } from "./duet.js";
import { clock, el } from "./elements.js";
import { ask } from "./session.js";

const ENDED = { FAILED: "Failed", CANCELED: "Canceled" };

const entries = new Map(); // track id → {track, card, head, state, body, open, loaded}
const list = document.getElementById("tracks");

/** Makes the list say what `tracks` says. Cards that stay are kept: moving one would silence it. */
export function showTracks(tracks) {
  const ids = new Set(tracks.map(({ id }) => id));
  for (const id of entries.keys()) if (!ids.has(id)) dropTrack(id);
  for (const track of tracks) showTrack(track);
  const newest = entries.get(list.firstChild?.dataset.trackId);
  if (newest) toggle(newest, true);
}

/** Adds `track`, or brings its card up to date. One that has just been completed opens; returns whether it has. */
export function showTrack(track) {
  const known = entries.has(track.id);
  const entry = known ? entries.get(track.id) : add(track);
  const finished = known && entry.track.status !== "COMPLETED" && track.status === "COMPLETED";
  entry.track = track;
  render(entry);
  if (finished) toggle(entry, true);
  return finished;
}

/** Takes the track off the page. */
export function dropTrack(id) {
  entries.get(id)?.card.remove();
  entries.delete(id);
}

export const trackCount = () => entries.size;

function add(track) {
  const head = el("button", { type: "button", className: "head" });
  const state = el("p", { className: "state" });
  const body = el("div", { className: "body" }, el("p", { className: "prompt" }, track.prompt));
  const made = Date.parse(track.createdAt);
  const card = el("li", { className: "card track", data: { trackId: track.id, made } }, head, state, body);
  const entry = { track, card, head, state, body, open: false, loaded: false };
  head.onclick = () => toggle(entry, !entry.open);
  entries.set(track.id, entry);
  list.insertBefore(card, [...list.children].find((other) => Number(other.dataset.made) < made) ?? null);
  return entry;
}

function render({ track, card, head, state, body, open }) {
  card.dataset.status = track.status;
  head.setAttribute("aria-expanded", open);
  head.replaceChildren(cover(track), words(track));
  state.replaceChildren(...progress(track));
  state.hidden = !state.hasChildNodes();
  body.hidden = !open;
}

/** Opens or closes a card; the first opening of a finished track fetches its versions. */
async function toggle(entry, open) {
  entry.open = open;
  render(entry);
  if (!open || entry.loaded || entry.track.status !== "COMPLETED") return;
  entry.loaded = true;
  const waiting = el("p", { className: "hint" }, "Loading both versions…");
  entry.body.append(waiting);
  try {
    const { track } = await ask(VERSIONS, { id: entry.track.id });
    const versions = track?.versions.edges.map(({ node }) => node) ?? [];
    versions.sort((one, other) => one.variant - other.variant);
    waiting.replaceWith(duet(entry.track.title, versions));
  } catch (error) {
    waiting.textContent = `${error.message} Close and open the track to try again.`;
    entry.head.addEventListener("click", () => waiting.remove(), { once: true });
    entry.loaded = false;
  }
}

function cover({ coverUrl }) {
  if (!coverUrl) return el("span", { className: "cover" });
  return el("img", { className: "cover", src: ownMedia(coverUrl), alt: "", width: 56, height: 56 });
}

function words({ title, tags, durationSeconds, status }) {
  const facts = [ENDED[status], durationSeconds && clock(durationSeconds), ...tags].filter(Boolean).join(" · ");
  return el("span", { className: "words" }, el("strong", {}, title), el("small", {}, facts));
}

/** What the newest generation is at, as a bar and in words; nothing once there is a track to play. */
function progress({ title, status, generations }) {
  const newest = generations.edges.map(({ node }) => node).sort((a, b) => b.createdAt.localeCompare(a.createdAt))[0];
  if (status === "FAILED") return [newest?.error?.message ?? "It could not be made."];
  if (status !== "PENDING" && status !== "PROCESSING") return [];
  const bar = el("progress", { max: 1, aria: { label: `Progress of ${title}` } });
  if (status === "PENDING") {
    return [bar, newest?.queuePosition ? `Heard; number ${newest.queuePosition} in the queue` : "Heard; waiting for a worker"];
  }
  bar.value = newest?.progress ?? 0;
  return [bar, `Making it: ${Math.round(bar.value * 100)} %`];
}
