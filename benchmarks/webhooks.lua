-- For wrk: sends the request in the file that the first argument names, with a number of its own in each, counted from
-- the second argument. Ends with one line of JSON.

local pieces, number = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a") .. "{number}"
  file:close()
  for piece in text:gmatch("(.-){number}") do
    pieces[#pieces + 1] = piece
  end
  number = tonumber(args[2])
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
