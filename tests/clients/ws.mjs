// node ws.mjs <url>: a real graphql-ws client subscribes, queries, fails, leaves early, and survives it all.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const client = createClient({
  url: process.argv[2],
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: 'Bearer ada' },
  retryAttempts: 0,
});

async function all(payload) {
  const results = [];
  for await (const result of client.iterate(payload)) results.push(result);
  return results;
}

async function firstOf(payload, count) {
  const results = [];
  for await (const result of client.iterate(payload)) {
    results.push(result);
    if (results.length === count) break;
  }
  return results;
}

const endless = all({ query: 'subscription { ticks(to: 40, everySeconds: 0.02) { number } }' });
const report = {
  ticks: await all({ query: 'subscription { ticks { number } }' }),
  query: await all({ query: '{ whoami }' }),
  mutation: await all({ query: 'mutation { play }' }),
  left: await firstOf({ query: 'subscription { ticks(to: 100000, everySeconds: 0.01) { number } }' }, 2),
  syntax: await all({ query: '{' }).catch((errors) => errors),
  expired: await all({ query: 'subscription { expired { number } }' }).catch((errors) => errors),
  neighbour: (await endless).length,
};
await client.dispose();
console.log(JSON.stringify(report));
