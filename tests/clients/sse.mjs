// node sse.mjs <url>: a real graphql-sse client, one connection per operation.
import { createClient } from 'graphql-sse';

const client = createClient({ url: process.argv[2], headers: { Authorization: 'Bearer ada' }, retryAttempts: 0 });

async function firstOf(payload, count) {
  const results = [];
  for await (const result of client.iterate(payload)) {
    results.push(result);
    if (results.length === count) break;
  }
  return results;
}

console.log(
  JSON.stringify({
    ticks: await firstOf({ query: 'subscription { ticks { number cursor } }' }, Infinity),
    query: await firstOf({ query: '{ whoami }' }, Infinity),
    left: await firstOf({ query: 'subscription { ticks(to: 100000, everySeconds: 0.01) { number } }' }, 2),
    expired: await firstOf({ query: 'subscription { expired { number } }' }, Infinity),
    syntax: await firstOf({ query: '{' }, Infinity).catch((error) => ({ refused: error.message })),
  }),
);
client.dispose();
