// A subscription that stays: graphql-transport-ws over one WebSocket, back after every break with nothing missed.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const PING_EVERY_MS = 20_000; // a socket that answers nothing in between is dead, whatever TCP still believes
const REFUSED = new Set([4401, 4403]); // the protocol's close codes for a token that was not taken

/**
 * Follows `trackUpdates` until the returned function is called.
 *
 * `token({rejected})` resolves to an access token or null; `onUpdate(update)` gets each event; `onState(state)` gets
 * "connecting", "live" or "waiting"; `onStart()` says that events begin now, so what was before must be asked for.
 */
export function follow({ document, token, onUpdate, onState, onStart }) {
  let socket = null;
  let timer = null; // of the next attempt or, while connected, of the pings
  let heard = true;
  let stopped = false;
  let cursor = null;
  let failures = 0;
  let bearer = null;
  let rejected = null;

  const send = (message) => socket.send(JSON.stringify(message));

  async function connect() {
    onState("connecting");
    bearer = await token({ rejected }).catch(() => null);
    if (stopped) return;
    if (!bearer) return again();
    const url = new URL("/graphql", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url, "graphql-transport-ws");
    socket.onopen = () => send({ type: "connection_init", payload: { authorization: `Bearer ${bearer}` } });
    socket.onclose = ({ code }) => lost(code);
    socket.onmessage = ({ data }) => {
      heard = true;
      receive(JSON.parse(data));
    };
    heard = true;
    timer = setInterval(ping, PING_EVERY_MS);
  }

  function ping() {
    if (!heard) return lost();
    heard = false;
    if (socket.readyState === WebSocket.OPEN) send({ type: "ping" });
  }

  function receive({ type, payload }) {
    if (type === "connection_ack") {
      send({ id: "1", type: "subscribe", payload: { query: document, variables: { after: cursor } } });
    } else if (type === "ping") {
      send({ type: "pong" });
    } else if (type === "next" && payload.data) {
      update(payload.data.trackUpdates);
    } else if (type === "next" || type === "error") {
      refuse(payload.errors ?? payload);
    } else if (type === "complete") {
      lost(); // a server on its way down completes its streams and wants us back
    }
  }

  function update(event) {
    // READY names where the stream joins; on a replay older events follow it, so there it is not where we are.
    if (event.kind !== "READY" || cursor === null) {
      if (cursor === null) onStart();
      cursor = event.cursor;
    }
    if (event.kind === "READY") {
      failures = 0;
      onState("live");
    }
    onUpdate(event);
  }

  function refuse(errors) {
    const codes = errors.map(({ extensions }) => extensions?.code);
    if (codes.includes("UNAUTHENTICATED")) rejected = bearer;
    if (codes.includes("RESUME_EXPIRED")) cursor = null;
    lost();
  }

  function lost(code) {
    hangUp();
    if (REFUSED.has(code)) rejected = bearer;
    again();
  }

  function again() {
    onState("waiting");
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++);
    timer = setTimeout(connect, longest * (0.5 + Math.random() / 2)); // not every client in the same moment
  }

  function hangUp() {
    clearTimeout(timer); // clears intervals as well: one list of ids
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
    socket = null;
  }

  connect();
  return () => {
    stopped = true;
    hangUp();
  };
}
