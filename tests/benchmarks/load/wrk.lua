-- Deliveries for wrk: wrk ... -s wrk.lua URL -- RECORDS DISTINCT FIRST; prints one JSON line (see __init__.py).
local each, distinct, next_id, ready

local function body()
  local items = {}
  for i = 1, each do
    items[i] = string.format('{"id":%d}', next_id + i - 1)
  end
  if distinct then next_id = next_id + each end
  return '{"event":"party/updated","payload":[' .. table.concat(items, ",") .. "]}"
end

function init(args)
  each, distinct, next_id = tonumber(args[1]), args[2] == "1", tonumber(args[3])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if not distinct then
    wrk.body = body()
    ready = wrk.format()
  end
end

function request()
  return ready or wrk.format(nil, nil, nil, body())
end

function done(summary, latency)
  local errors = summary.errors
  local refused = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"deliveries": %d, "refused": %d, "seconds": %.4f, "p50": %.3f, "p99": %.3f}',
    summary.requests - errors.status, refused, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
