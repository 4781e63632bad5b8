// Consumes points of rate-limiter-flexible over ioredis as a test tells it; see program_test.go.
'use strict';

const Redis = require('ioredis');
const {RateLimiterMemory, RateLimiterRedis} = require('rate-limiter-flexible');
const {version} = require('rate-limiter-flexible/package.json');
const serve = require('./commands');

const [host, port] = process.argv.slice(2);
const storeClient = new Redis(Number(port), host);
storeClient.on('error', (error) => console.error(`${error}`));
const limits = {points: 100, duration: 60};
const plain = new RateLimiterRedis({storeClient, ...limits});
const insured = new RateLimiterRedis({storeClient, ...limits, insuranceLimiter: new RateLimiterMemory(limits)});

async function* consume(limiter, key, n) {
  for (let i = 0; i < n; i++) yield (await limiter.consume(key)).consumedPoints;
}

serve(version, {
  consume: (key, n) => consume(plain, key, n),
  insured: (key, n) => consume(insured, key, n),
});
