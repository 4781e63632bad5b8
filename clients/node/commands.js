// Reads what a test tells a program, line by line, and answers; see program_test.go.
'use strict';

const readline = require('node:readline');

const say = (line) => process.stdout.write(line + '\n');

// serve answers with the numbers that the client's functions make, each as it comes.
module.exports = async function serve(version, client) {
  say(version);
  for await (const line of readline.createInterface({input: process.stdin})) {
    const [verb, ...args] = line.split(' ');
    try {
      for await (const number of await client[verb](...args)) say(number);
      say('.');
    } catch (error) {
      say('! ' + `${error}`.replace(/\s+/g, ' '));
    }
  }
  process.exit(0);
};
