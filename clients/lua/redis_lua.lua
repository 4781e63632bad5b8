-- Counts with redis-lua as a test tells it; see program_test.go.
local redis = require 'redis'

local client

-- The library does not connect again, so a client that has failed is given up for a new one.
local function connection()
  client = client or redis.connect(arg[1], tonumber(arg[2]))
  return client
end

local function say(line)
  io.write(tostring(line), '\n')
  io.flush()
end

local run = {
  incr = function(topic, n)
    for _ = 1, n do say(connection():incr(topic)) end
  end,
  pipeline = function(topic, n)
    local replies = connection():pipeline(function(p)
      for _ = 1, n do p:incr(topic) end
    end)
    for _, number in ipairs(replies) do say(number) end
  end,
  transaction = function(topic, other, n)
    local replies = connection():transaction(function(t)
      for _ = 1, n do
        t:incr(topic)
        t:incr(other)
      end
    end)
    for _, number in ipairs(replies) do say(number) end
  end,
  get = function(topic)
    say(connection():get(topic) or 0)
  end,
}

say((redis._VERSION:gsub('^redis%-lua ', '')))
for line in io.lines() do
  local words = {}
  for word in line:gmatch('%S+') do table.insert(words, tonumber(word) or word) end
  local verb = table.remove(words, 1)
  local ok, wrong = pcall(run[verb], unpack(words))
  if ok then
    say('.')
  else
    client = nil
    say('! ' .. tostring(wrong):gsub('%s+', ' '))
  end
end
