"""Counts with redis-py as a test tells it; see program_test.go."""

import json
import os
import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def run(client, verb, args):
    """Yields the numbers that answer a command."""
    if verb == "incr":
        for _ in range(int(args[1])):
            yield client.incr(args[0])
    elif verb == "pipeline":
        p = client.pipeline(transaction=False)
        for _ in range(int(args[1])):
            p.incr(args[0])
        yield from p.execute()
    elif verb == "transaction":
        p = client.pipeline()
        for _ in range(int(args[2])):
            p.incr(args[0])
            p.incr(args[1])
        yield from p.execute()
    elif verb == "get":
        yield int(client.get(args[0]) or 0)


def main():
    options = {"host": sys.argv[1], "port": int(sys.argv[2])}
    options.update(json.loads(os.environ.get("OPTIONS", "{}")))
    if "once" in sys.argv[3:]:
        options["retry"] = Retry(NoBackoff(), 0)
    client = redis.Redis(**options)
    print(redis.__version__, flush=True)
    for line in sys.stdin:
        verb, *args = line.split()
        try:
            for number in run(client, verb, args):
                print(number, flush=True)
            print(".", flush=True)
        except redis.RedisError as error:
            print("!", type(error).__name__, " ".join(str(error).split()), flush=True)


main()
