// Who is signed in, and asking the API as that person. Tokens live in this tab only (sessionStorage) and end with it.

import { LOGIN, LOGOUT, REFRESH, REGISTER } from "./documents.js";

const KEY = "antiphon.session";
const EARLY_MS = 30_000; // renew before the access token's end, so that no request meets it on the way
const WAYS = { login: LOGIN, register: REGISTER };

/** A request that could not be answered at all; the message is for the person who made it. */
export class Unanswered extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

export const sessions = new EventTarget(); // "change" whenever somebody signs in or out, "ended" if not by their own wish

let session = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
let renewal = null;

/** `{email, accessToken, refreshToken, expiresAt}` or null. */
export const currentSession = () => session;

function keep(next) {
  const changed = next?.email !== session?.email;
  session = next;
  if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
  else sessionStorage.removeItem(KEY);
  if (changed) sessions.dispatchEvent(new Event("change"));
}

/** Signs in (`way` "login") or up ("register"). Returns the payload's errors, empty when it worked. */
export async function signIn(way, email, password) {
  const payload = (await post(WAYS[way], { input: { email, password } }, null))[way];
  if (payload.session) keep({ ...payload.session, email });
  return payload.errors;
}

/** Tells the server, and forgets the tokens even if the server cannot be told. */
export async function signOut() {
  await ask(LOGOUT).catch(() => null);
  keep(null);
}

/** Data of one operation, as the signed-in person or, with nobody signed in, anonymously. Throws Unanswered. */
export async function ask(document, variables = {}) {
  const token = await accessToken();
  try {
    return await post(document, variables, token);
  } catch (error) {
    if (error.code !== "UNAUTHENTICATED" || !token) throw error;
    return post(document, variables, await accessToken({ rejected: token }));
  }
}

/** A token good for a while yet, or null. `rejected` is one that the server did not take although it looked fresh. */
export async function accessToken({ rejected = null } = {}) {
  const stale = () => session.accessToken === rejected || Date.parse(session.expiresAt) - Date.now() < EARLY_MS;
  if (session && stale()) {
    // A refresh token works once, and using it twice ends the session: everybody waits for the same renewal.
    renewal ??= renew().finally(() => (renewal = null));
    await renewal;
  }
  return session?.accessToken ?? null;
}

async function renew() {
  const { email, refreshToken } = session;
  const { refreshSession } = await post(REFRESH, { input: { refreshToken } }, null);
  if (session?.refreshToken !== refreshToken) return; // signed out, or in as another, in the meantime
  keep(refreshSession.session ? { ...refreshSession.session, email } : null);
  if (!session) sessions.dispatchEvent(new Event("ended"));
}

async function post(query, variables, token) {
  const headers = { "Content-Type": "application/json", Accept: "application/graphql-response+json, application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch("/graphql", { method: "POST", headers, body: JSON.stringify({ query, variables }) })
    .catch(() => null);
  if (!response) throw new Unanswered("The server cannot be reached. Is it still running?", "UNAVAILABLE");
  const answer = await response.json().catch(() => null);
  if (!answer) throw new Unanswered(`The server answered ${response.status} without saying why.`, "INTERNAL");
  if (answer.errors?.length) throw new Unanswered(inWords(answer.errors[0]), answer.errors[0].extensions?.code);
  return answer.data;
}

function inWords({ message, extensions = {} }) {
  const wait = extensions.retryAfter ? ` Try again in ${Math.ceil(extensions.retryAfter)} s.` : "";
  const request = extensions.requestId ? ` (request ${extensions.requestId})` : "";
  return `${message}${wait}${extensions.code === "INTERNAL" ? request : ""}`;
}
