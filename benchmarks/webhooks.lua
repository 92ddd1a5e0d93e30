-- For wrk: sends the request in the file that the first argument names, with a number of its own in each, counted from
-- the second argument; as many a second as the third says, evenly, or without it as many as are answered. Ends with one
-- line of JSON.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int clock, moment *now);")
local MONOTONIC = 1
local read = ffi.new("moment")
local pieces, number = {}, 0

local function milliseconds()
  ffi.C.clock_gettime(MONOTONIC, read)
  return tonumber(read.seconds) * 1e3 + tonumber(read.nanoseconds) / 1e6
end

-- For how long the connection that has been answered waits until the next request is due.
local function pace(rate)
  local interval, due = 1e3 / rate, milliseconds()
  return function()
    due = due + interval
    return math.max(0, math.floor(due - milliseconds()))
  end
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a") .. "{number}"
  file:close()
  for piece in text:gmatch("(.-){number}") do
    pieces[#pieces + 1] = piece
  end
  number = tonumber(args[2])
  if args[3] then
    delay = pace(tonumber(args[3]))  -- wrk looks for a function of this name
  end
end

function request()
  number = number + 1
  return table.concat(pieces, string.format("%012d", number))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
