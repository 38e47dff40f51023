"""The Lua texts behind `workers/limits.py`. Each is one atomic step on the hash `relay:limits`; time is Redis' own.

A field is a window's name, its value eight numbers in text: limit, used, end, sure, next live, next bulk, refusals, until.

- `limit`: learned from headers; 0 until then, and the caller's own counts.
- `end`: when the window ends, in ms; `sure` is 1 once an answer has told it, 0 while it is our guess.
- `next live`, `next bulk`: the time given to the last waiter of that lane, so that the next one gets a later one.
- `until`: nobody goes before, because the other side has answered "too many".
"""

from __future__ import annotations

from typing import Final

_COMMON: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function load(name)
  local w = { limit = 0, used = 0, ends = 0, sure = 0, live = 0, bulk = 0, refused = 0, shut = 0 }
  local held = redis.call('HGET', KEYS[1], name)
  if held then
    local n = {}
    for number in string.gmatch(held, '%S+') do n[#n + 1] = tonumber(number) end
    w.limit, w.used, w.ends, w.sure, w.live, w.bulk, w.refused, w.shut = n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]
  end
  return w
end

local function save(name, w)
  redis.call('HSET', KEYS[1], name, string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f',
    w.limit, w.used, w.ends, w.sure, w.live, w.bulk, w.refused, w.shut))
end
"""

# ARGV: lane ('bulk' or another), reserve in thousandths, '1' to look only, then name, limit, length of each window.
# Answers 0 when a place was taken in every window, else the ms until the place that was booked; looking changes nothing.
RESERVE: Final = (
    _COMMON
    + """
local bulk = ARGV[1] == 'bulk'
local names, held, wait = {}, {}, 0
for i = 4, #ARGV, 3 do
  local name, length = ARGV[i], tonumber(ARGV[i + 2])
  local w = load(name)
  if now >= w.ends then w.used, w.ends, w.sure = 0, now + length, 0 end
  local limit = w.limit > 0 and w.limit or tonumber(ARGV[i + 1])
  -- An unknown limit (0) holds nobody up until an answer names it.
  local open = limit
  if bulk and limit > 0 then open = math.max(limit - math.floor(limit * tonumber(ARGV[2]) / 1000), 1) end
  local from = math.max(now < w.shut and w.shut or 0, limit > 0 and w.used >= open and w.ends or 0)
  if from > 0 then
    local lane = bulk and 'bulk' or 'live'
    w[lane] = math.max(from, w[lane] + (open > 0 and math.ceil(length / open) or 1000))
    wait = math.max(wait, w[lane] - now, 1)
  end
  names[#names + 1], held[#held + 1] = name, w
end
if ARGV[3] == '1' then return wait end
for i, name in ipairs(names) do
  if wait == 0 then held[i].used = held[i].used + 1 end
  save(name, held[i])
end
return wait
"""
)

# ARGV: name, limit, remaining, ms until the end, length of each window; -1 = not told.
# Our own count is kept where it is higher: it also knows the calls that are still under way.
LEARN: Final = (
    _COMMON
    + """
for i = 1, #ARGV, 5 do
  local w = load(ARGV[i])
  local limit, left = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local within, length = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local ends = within >= 0 and now + within or w.ends
  local stale = false
  if limit > 0 then w.limit = limit end
  if within >= 0 then
    local moved = ends - w.ends
    if now >= w.ends or (w.sure == 1 and moved > length / 2) then
      w.used, w.ends, w.sure = 0, ends, 1            -- a new window has begun over there
    elseif w.sure == 0 then
      w.ends, w.sure = ends, 1                       -- our guess gives way
    elseif moved < -length / 2 then
      stale = true                                   -- an answer from the window before
    elseif moved > 0 then
      w.ends = ends                                  -- whole seconds: the later reading is the safe one
    end
  end
  if left >= 0 and not stale and w.limit > 0 and now < w.ends then
    w.used = math.max(w.used, w.limit - left)
  end
  save(ARGV[i], w)
end
return 0
"""
)

# ARGV: name, ms to wait. The other side has said "too many": the window is spent until then.
EXHAUSTED: Final = (
    _COMMON
    + """
local w = load(ARGV[1])
w.used = math.max(w.used, w.limit)
w.shut = now + math.max(tonumber(ARGV[2]), 1)
w.ends, w.sure, w.refused = w.shut, 1, w.refused + 1
save(ARGV[1], w)
return 0
"""
)
