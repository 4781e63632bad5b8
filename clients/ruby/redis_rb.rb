# Counts with redis-rb as a test tells it; see program_test.go.
require 'redis'

options = { host: ARGV[0], port: ARGV[1].to_i }
options[:reconnect_attempts] = 0 if ARGV[2] == 'once'
redis = Redis.new(**options)

$stdout.sync = true
puts Redis::VERSION
$stdin.each_line do |line|
  verb, topic, *args = line.split
  begin
    case verb
    when 'incr'
      args[0].to_i.times { puts redis.incr(topic) }
    when 'pipeline'
      puts(redis.pipelined { |p| args[0].to_i.times { p.incr(topic) } })
    when 'transaction'
      puts(redis.multi { |t| args[1].to_i.times { t.incr(topic); t.incr(args[0]) } })
    when 'get'
      puts redis.get(topic).to_i
    end
    puts '.'
  rescue Redis::BaseError => e
    puts "! #{e.class} #{e.message.split.join(' ')}"
  end
end
