// The landing page: signs in, asks, listens, shows. All it knows of the server is schema.graphql.

import { GENERATE, TRACKS, UPDATES } from "./documents.js";
import { el, showErrors } from "./elements.js";
import { follow } from "./live.js";
import { accessToken, ask, currentSession, sessions, signIn, signOut } from "./session.js";
import { dropTrack, showTrack, showTracks, trackCount } from "./tracks.js";

const TAGS = ["lo-fi", "techno", "ambient", "jazz", "house", "cinematic", "piano", "guitar", "happy", "melancholic"];
const LIVE_WORDS = { off: "Not listening", connecting: "Connecting…", live: "Listening", waiting: "Reconnecting…" };
const WIRE_LINES = 40; // enough for two generations, short enough to read

const byId = (id) => document.getElementById(id);
const account = byId("account");
const wish = byId("wish");
let stopListening = null;
let idempotencyKey = newKey();

/** 128 random bits as text; `crypto.randomUUID` is missing on plain http to another machine. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function say(direction, text) {
  const line = el("li", { data: { direction } }, text);
  byId("wire").prepend(line);
  byId("wire").children[WIRE_LINES]?.remove();
}

function showLive(state) {
  byId("live").dataset.state = state;
  byId("live").textContent = LIVE_WORDS[state];
  if (state === "live") showHealth();
}

async function showHealth() {
  const pill = byId("health");
  const health = await fetch("/health").then((response) => response.json()).catch(() => null);
  pill.dataset.state = health?.status ?? "unreachable";
  pill.textContent = { healthy: "Healthy", degraded: "Degraded" }[health?.status] ?? "Unreachable";
  pill.ariaLabel = `Health: ${pill.textContent}`;
  pill.title = Object.entries(health?.services ?? {}).map(([name, state]) => `${name}: ${state.status ?? state}`).join("\n");
}

async function loadTracks() {
  const notice = byId("tracks-notice");
  try {
    showTracks((await ask(TRACKS)).tracks.edges.map(({ node }) => node));
    notice.textContent = "Nothing yet. Ask for something, and it is answered here.";
    notice.hidden = trackCount() > 0;
  } catch (error) {
    notice.textContent = error.code === "UNAUTHENTICATED" ? "Sign in to hear your tracks." : error.message;
    notice.hidden = false;
  }
}

function showUpdate({ kind, trackId, track }) {
  say("response", [kind, track?.title, track?.status].filter(Boolean).join(" · "));
  if (kind === "DELETED") dropTrack(trackId);
  if (!track) return;
  byId("tracks-notice").hidden = true;
  if (showTrack(track)) byId("announcement").textContent = `${track.title} is ready to play.`;
}

function showSession() {
  const session = currentSession();
  account.hidden = Boolean(session);
  byId("signed-in").hidden = !session;
  byId("who").textContent = session?.email ?? "";
  wish.querySelector("fieldset").disabled = !session;
  stopListening?.();
  stopListening = session
    ? follow({ document: UPDATES, token: accessToken, onUpdate: showUpdate, onState: showLive, onStart: loadTracks })
    : null;
  if (!session) showLive("off");
  loadTracks();
}

/** Runs `work` for a form, once at a time; what went wrong is shown in the form, in words. Returns the errors. */
async function submit(form, work) {
  if (form.ariaBusy) return [];
  form.ariaBusy = "true"; // rather than disabled buttons, which would drop the keyboard's focus
  showErrors(form, []);
  const errors = await work().catch((error) => [{ message: error.message }]);
  form.ariaBusy = null;
  showErrors(form, errors);
  return errors;
}

async function generate() {
  const words = new FormData(wish);
  const tags = [...words.getAll("tag"), ...words.get("ownTags").split(",")].map((tag) => tag.trim()).filter(Boolean);
  const input = {
    prompt: words.get("prompt"),
    tags,
    durationSeconds: Number(words.get("durationSeconds")),
    idempotencyKey, // kept until there is an answer: pressing again after a broken connection makes nothing twice
  };
  say("call", `generateTrack · ${input.prompt}`);
  const { generateTrack } = await ask(GENERATE, { input });
  idempotencyKey = newKey();
  if (generateTrack.track) showUpdate({ kind: "generateTrack", track: generateTrack.track });
  return generateTrack.errors;
}

account.onsubmit = async (event) => {
  event.preventDefault();
  const way = event.submitter?.value ?? "login";
  const words = new FormData(account);
  say("call", way);
  await submit(account, () => signIn(way, words.get("email"), words.get("password")));
  if (currentSession()) wish.elements.prompt.focus();
};
wish.onsubmit = (event) => {
  event.preventDefault();
  submit(wish, generate);
};
wish.oninput = () => {
  byId("length").textContent = `${wish.elements.durationSeconds.value} s`;
  idempotencyKey = newKey(); // another wish
};
wish.elements.prompt.onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) wish.requestSubmit();
};
byId("sign-out").onclick = signOut;
sessions.addEventListener("change", showSession);
sessions.addEventListener("ended", () => showErrors(account, [{ message: "Your session has ended. Sign in again." }]));

const { demoEmail, demoPassword } = account.dataset;
if (demoEmail) {
  account.elements.email.value = demoEmail;
  account.elements.password.value = demoPassword;
  byId("account-hint").textContent = "The demo account is filled in: sign in, or create an account of your own.";
}
byId("tags").append(
  ...TAGS.map((tag) => el("label", {}, el("input", { type: "checkbox", name: "tag", value: tag }), el("span", {}, tag))),
);
byId("curl").textContent = `curl -s ${location.origin}/graphql -H 'Content-Type: application/json' \\
  -d '{"query": "{ tracks(first: 3) { edges { node { title status audioUrl } } } }"}'`;

showHealth();
showSession();
