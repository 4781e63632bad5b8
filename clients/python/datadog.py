"""Asks a server what Datadog's check of Redis asks, with redis-py, and prints what it would report, as JSON."""

import json
import sys

import redis


def main():
    client = redis.Redis(host=sys.argv[1], port=int(sys.argv[2]), socket_timeout=5)
    info = client.info()
    entries = int(client.config_get("slowlog-max-len")["slowlog-max-len"])
    print(
        json.dumps(
            {
                "info": info,
                "maxclients": client.config_get("maxclients")["maxclients"],
                "clients": [connection["name"] for connection in client.client_list()],
                "databases": list(client.info("keyspace")),
                "types": {key.decode(): client.type(key).decode() for key in client.scan_iter(match=sys.argv[3])},
                "slowlog": [entry["start_time"] for entry in client.slowlog_get(entries)],
                "commands": {
                    key.split("_", 1)[1]: [stats["calls"], stats["usec_per_call"]]
                    for key, stats in client.info("commandstats").items()
                },
            }
        )
    )


main()
