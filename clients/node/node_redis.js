// Counts with node-redis as a test tells it; see program_test.go.
'use strict';

const {createClient} = require('redis');
const {version} = require('redis/package.json');
const serve = require('./commands');

const [host, port] = process.argv.slice(2);
const url = `redis://${host}:${port}`;
const client = createClient({url});
client.on('error', (error) => console.error(`${error}`)); // without it an error ends the process

client.connect().then(() => serve(version, {
  async *incr(topic, n) {
    for (let i = 0; i < n; i++) yield await client.incr(topic);
  },
  // What is called in one turn of the event loop leaves in one piece.
  pipeline: (topic, n) => Promise.all(Array.from({length: n}, () => client.incr(topic))),
  transaction(topic, other, n) {
    const multi = client.multi();
    for (let i = 0; i < n; i++) multi.incr(topic).incr(other);
    return multi.exec();
  },
  get: async (topic) => [await client.get(topic)],
  // A client with a cache of its own asks to be told of changes.
  async cached(topic) {
    const caching = createClient({url, RESP: 3, clientSideCache: {ttl: 0}, socket: {reconnectStrategy: false}});
    caching.on('error', (error) => console.error(`${error}`));
    await caching.connect();
    try {
      return [await caching.get(topic)];
    } finally {
      caching.destroy();
    }
  },
}));
