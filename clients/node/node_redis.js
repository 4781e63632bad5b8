// Counts with node-redis as a test tells it; see program_test.go.
'use strict';

const {createClient} = require('redis');
const {version} = require('redis/package.json');
const serve = require('./commands');

const [host, port] = process.argv.slice(2);
const url = `redis://${host}:${port}`;
const client = createClient(process.env.OPTIONS ? JSON.parse(process.env.OPTIONS) : {url});
client.on('error', (error) => console.error(`${error}`)); // without it an error ends the process
const connected = client.connect();
connected.catch(() => {}); // whoever awaits it hears of it

serve(version, {
  async *incr(topic, n) {
    await connected;
    for (let i = 0; i < n; i++) yield await client.incr(topic);
  },
  // What is called in one turn of the event loop leaves in one piece.
  async pipeline(topic, n) {
    await connected;
    return Promise.all(Array.from({length: n}, () => client.incr(topic)));
  },
  async transaction(topic, other, n) {
    await connected;
    const multi = client.multi();
    for (let i = 0; i < n; i++) multi.incr(topic).incr(other);
    return multi.exec();
  },
  async get(topic) {
    await connected;
    return [await client.get(topic)];
  },
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
});
