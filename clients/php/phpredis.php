<?php
// Counts with phpredis as a test tells it; see program_test.go.
require __DIR__ . '/commands.php';

final class Counter
{
    private Redis $redis;

    public function __construct(string $host, int $port)
    {
        $this->redis = new Redis();
        $this->redis->connect($host, $port);
    }

    public function incr(string $topic, int $n): iterable
    {
        for ($i = 0; $i < $n; $i++) {
            yield $this->redis->incr($topic);
        }
    }

    public function pipeline(string $topic, int $n): iterable
    {
        $pipeline = $this->redis->pipeline();
        for ($i = 0; $i < $n; $i++) {
            $pipeline->incr($topic);
        }
        return $pipeline->exec();
    }

    public function transaction(string $topic, string $other, int $n): iterable
    {
        $multi = $this->redis->multi();
        for ($i = 0; $i < $n; $i++) {
            $multi->incr($topic)->incr($other);
        }
        return $multi->exec();
    }

    public function get(string $topic): iterable
    {
        return [(int) $this->redis->get($topic)];
    }
}

serve(phpversion('redis'), new Counter($argv[1], (int) $argv[2]));
