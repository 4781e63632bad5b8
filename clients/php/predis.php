<?php
// Counts with Predis as a test tells it; see program_test.go.
require 'Predis/autoload.php';
require __DIR__ . '/commands.php';

final class Counter
{
    private Predis\Client $client;

    public function __construct(string $host, int $port)
    {
        $this->client = new Predis\Client(['host' => $host, 'port' => $port]);
    }

    public function incr(string $topic, int $n): iterable
    {
        for ($i = 0; $i < $n; $i++) {
            yield $this->client->incr($topic);
        }
    }

    public function pipeline(string $topic, int $n): iterable
    {
        return $this->client->pipeline(function ($pipeline) use ($topic, $n) {
            for ($i = 0; $i < $n; $i++) {
                $pipeline->incr($topic);
            }
        });
    }

    public function transaction(string $topic, string $other, int $n): iterable
    {
        return $this->client->transaction(function ($multi) use ($topic, $other, $n) {
            for ($i = 0; $i < $n; $i++) {
                $multi->incr($topic);
                $multi->incr($other);
            }
        });
    }

    public function get(string $topic): iterable
    {
        return [(int) $this->client->get($topic)];
    }
}

serve(Predis\Client::VERSION, new Counter($argv[1], (int) $argv[2]));
