<?php
// Counts with phpredis as a test tells it; see program_test.go.
require __DIR__ . '/commands.php';

final class Counter
{
    private Redis $redis;
    private bool $failed = false;

    public function __construct(private string $host, private int $port)
    {
        $this->connect();
    }

    private function connect(): void
    {
        $this->redis = new Redis();
        $this->redis->connect($this->host, $this->port);
        $this->failed = false;
    }

    // attempt makes a call. Behind one that failed the object may be of no use: when there was no
    // server to connect to again, and within a transaction.
    private function attempt(callable $call): mixed
    {
        if ($this->failed) {
            $this->connect();
        }
        try {
            return $call($this->redis);
        } catch (RedisException $e) {
            $this->failed = true;
            throw $e;
        }
    }

    public function incr(string $topic, int $n): iterable
    {
        for ($i = 0; $i < $n; $i++) {
            yield $this->attempt(fn(Redis $redis) => $redis->incr($topic));
        }
    }

    public function pipeline(string $topic, int $n): iterable
    {
        return $this->attempt(function (Redis $redis) use ($topic, $n) {
            $pipeline = $redis->pipeline();
            for ($i = 0; $i < $n; $i++) {
                $pipeline->incr($topic);
            }
            return $pipeline->exec();
        });
    }

    public function transaction(string $topic, string $other, int $n): iterable
    {
        return $this->attempt(function (Redis $redis) use ($topic, $other, $n) {
            $multi = $redis->multi();
            for ($i = 0; $i < $n; $i++) {
                $multi->incr($topic)->incr($other);
            }
            return $multi->exec();
        });
    }

    public function get(string $topic): iterable
    {
        return [(int) $this->attempt(fn(Redis $redis) => $redis->get($topic))];
    }
}

serve(phpversion('redis'), new Counter($argv[1], (int) $argv[2]));
