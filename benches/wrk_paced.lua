-- People who read between two clicks: each connection pauses for about as long as the first argument says, in
-- milliseconds, so that what is measured is how long an answer takes and not how many there can be.
local pause = 50

init = function(arguments)
  pause = tonumber(arguments[1]) or pause
  math.randomseed(1)
end

delay = function()
  return math.random(math.floor(pause / 2), math.floor(pause * 3 / 2))
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
