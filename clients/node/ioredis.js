// Counts with ioredis as a test tells it; see program_test.go.
'use strict';

const Redis = require('ioredis');
const {version} = require('ioredis/package.json');
const serve = require('./commands');

const [host, port, once] = process.argv.slice(2);
const redis = new Redis({
  host, port: Number(port), ...(once && {maxRetriesPerRequest: 0}), ...JSON.parse(process.env.OPTIONS || '{}'),
});
redis.on('error', (error) => console.error(`${error}`));

// The answers of a pipeline are pairs of an error and a value.
function numbers(answers) {
  return answers.map(([error, n]) => {
    if (error) throw error;
    return n;
  });
}

serve(version, {
  async *incr(topic, n) {
    for (let i = 0; i < n; i++) yield await redis.incr(topic);
  },
  async pipeline(topic, n) {
    const pipeline = redis.pipeline();
    for (let i = 0; i < n; i++) pipeline.incr(topic);
    return numbers(await pipeline.exec());
  },
  async transaction(topic, other, n) {
    const multi = redis.multi();
    for (let i = 0; i < n; i++) multi.incr(topic).incr(other);
    return numbers(await multi.exec());
  },
  get: async (topic) => [await redis.get(topic)],
});
