# Counts with Redis.pm as a test tells it; see program_test.go.
use strict;
use warnings;
use Redis;

my ($host, $port) = @ARGV;
my $redis;

# With its defaults the library does not connect again, so a client that has failed is given up for a new one.
sub redis { $redis //= Redis->new(server => "$host:$port") }

my %run = (
    incr => sub {
        my ($topic, $n) = @_;
        print redis()->incr($topic), "\n" for 1 .. $n;
    },
    pipeline => sub {
        my ($topic, $n) = @_;
        my (@numbers, $wrong);
        redis()->incr($topic, sub { my ($number, $error) = @_; push @numbers, $number; $wrong //= $error }) for 1 .. $n;
        redis()->wait_all_responses;
        die $wrong if defined $wrong;
        print "$_\n" for @numbers;
    },
    transaction => sub {
        my ($topic, $other, $n) = @_;
        redis()->multi;
        for (1 .. $n) {
            redis()->incr($topic);
            redis()->incr($other);
        }
        print "$_\n" for redis()->exec;
    },
    get => sub { print 0 + (redis()->get($_[0]) // 0), "\n" },
);

$| = 1;
print "$Redis::VERSION\n";
while (my $line = <STDIN>) {
    my ($verb, @args) = split ' ', $line;
    if (eval { $run{$verb}->(@args); 1 }) {
        print ".\n";
    } else {
        undef $redis;
        print '! ', join(' ', split ' ', $@), "\n";
    }
}
