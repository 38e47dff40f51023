"""The agenda's steps as Lua texts: each runs whole or not at all inside Redis, so nothing lies between two steps.

The protocol, its reasons and its invariants I1 to I10 are in `reference/agenda.md`; a mark such as `[g: seq]` names the
guard of the model (`tests/model/agenda_model.py`) that the line is. Every text is `PRELUDE` followed by one command.

Calling convention: no KEYS; arguments as the head of each command lists them. Times are milliseconds of Redis' clock,
ticks are microseconds of it that never go back. `L` is the lease and `W` the stray window, both in milliseconds.

What Redis holds (prefix `relay:`; R is `connection|kind|id`):

    tick                  last tick given out
    born                  `run_id ms`: which server process this is, and since when writes may be trusted
    clean_stop            ms of a recorded clean stop: no write of ours can be under way from before it
    open                  zset R -> ms opened
    seq                   hash R -> `tick lane [trace]` of its newest admission; the trace is for logs and decides nothing
    place                 hash R -> live | bulk | solo | due | parked | lease
    ready:<lane> due parked:<connection> leases      zset R -> ms
    lease                 hash R -> `token seq taken own foreign proc`
    body                  hash R -> a record already read, encrypted; used once
    attempts deaths       hash R -> number
    trouble               hash R -> the last error, as JSON without personal data
    intent                hash R -> ms until which a stray write may land; while there: do not trust the ledger
    sent                  hash R -> names of the fields that such writes set, a line each; goes with the intent
    seen                  hash R -> tick at the end of the last run
    paused                hash connection -> `until next_probe every reason` (until: ms or inf; next_probe: ms or -)
    probe                 hash connection -> R that may run although its connection is paused
    parking               set of connections that have parked records
    procs                 hash process -> ms of its last sign of life
    replays               hash R -> `times first last` of its letter's replays; while the letter is there
    discarded             hash R -> ms at which a person discarded its letter; until the record is decided, or a letter again
    ledger:<connection> link:<connection> tally:<connection> held:<connection> letters      see mapping/agenda.py
    wake:<lane>           list on which an idle consumer waits
"""

from __future__ import annotations

from typing import Final

from mapping import scripts_letters

PRELUDE: Final = r"""
local function micros()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end
local us = micros()
local now = math.floor(us / 1000)
local function text(n) return string.format('%.0f', n) end
local function hnum(key, field) return tonumber(redis.call('HGET', key, field) or 0) end

local tick
local function current_tick() return tonumber(redis.call('GET', 'relay:tick') or 0) end
local function next_tick()
  tick = math.max(current_tick() + 1, us)
  redis.call('SET', 'relay:tick', text(tick))
  return tick
end

-- Bells: messages for Dramatiq that name no record. Gathered, and rung once at the end of the script.
local bells, rung = {}, 0
local function ring(lane, n) bells[lane] = (bells[lane] or 0) + (n or 1) end
local function flush()
  for lane, n in pairs(bells) do
    local stamp = text(tick or next_tick())
    local left = n
    while left > 0 do
      local some = math.min(left, 100)
      local stored, ids = {}, {}
      for i = 1, some do
        rung = rung + 1
        local id = stamp .. '-' .. rung
        ids[i] = id
        stored[2 * i - 1] = id
        stored[2 * i] = '{"queue_name":"' .. lane .. '","actor_name":"work","args":[],"kwargs":{},"options":{"redis_message_id":"'
          .. id .. '"},"message_id":"' .. id .. '","message_timestamp":' .. text(now) .. '}'
      end
      redis.call('HSET', 'dramatiq:' .. lane .. '.msgs', unpack(stored))
      redis.call('RPUSH', 'dramatiq:' .. lane, unpack(ids))
      left = left - some
    end
    local sleepers = 'relay:wake:' .. lane
    local room = math.min(n, 64 - redis.call('LLEN', sleepers))
    for _ = 1, room do redis.call('RPUSH', sleepers, '1') end
  end
  bells = {}
end

local function connection_of(R) return string.match(R, '^([^|]+)|') end
local function field_of(R) return string.match(R, '^[^|]+|(.+)$') end

local function is_paused(c)
  local v = redis.call('HGET', 'relay:paused', c)
  if not v then return false end
  local till = string.match(v, '^(%S+)')
  return till == 'inf' or tonumber(till) > now
end
local function may_run(R)
  local c = connection_of(R)
  return not is_paused(c) or redis.call('HGET', 'relay:probe', c) == R
end

local function place_of(R) return redis.call('HGET', 'relay:place', R) or nil end
local function leave(R, p)
  if p == 'live' or p == 'bulk' or p == 'solo' then redis.call('ZREM', 'relay:ready:' .. p, R)
  elseif p == 'due' then redis.call('ZREM', 'relay:due', R)
  elseif p == 'parked' then
    local c = connection_of(R)
    redis.call('ZREM', 'relay:parked:' .. c, R)
    if redis.call('ZCARD', 'relay:parked:' .. c) == 0 then redis.call('SREM', 'relay:parking', c) end
  end
end
local function park(R)
  local c = connection_of(R)
  redis.call('ZADD', 'relay:parked:' .. c, now, R)
  redis.call('SADD', 'relay:parking', c)
  redis.call('HSET', 'relay:place', R, 'parked')
end
local function wait_until(R, due)
  leave(R, place_of(R))
  redis.call('ZADD', 'relay:due', due, R)
  redis.call('HSET', 'relay:place', R, 'due')
end
local function seq_of(R)
  local v = redis.call('HGET', 'relay:seq', R)
  if not v then return 0, 'bulk', '' end
  local t, lane, trace = string.match(v, '^(%d+) (%a+) ?(%S*)$')
  return tonumber(t), lane, trace
end
local function ready(R, lane)
  leave(R, place_of(R))
  if not may_run(R) then return park(R) end
  if hnum('relay:deaths', R) > 0 then lane = 'solo' end                       -- [g: solo]
  redis.call('HSET', 'relay:place', R, lane)
  redis.call('ZADD', 'relay:ready:' .. lane, now, R)
  ring(lane)
end

local function lease_of(R)
  local v = redis.call('HGET', 'relay:lease', R)
  if not v then return nil end
  local token, seq, taken, own, foreign, proc = string.match(v, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  return {token = token, seq = tonumber(seq), taken = tonumber(taken), own = tonumber(own),
          foreign = tonumber(foreign), proc = proc}
end
local function write_lease(R, l)
  redis.call('HSET', 'relay:lease', R, l.token .. ' ' .. text(l.seq) .. ' ' .. text(l.taken) .. ' ' .. text(l.own) .. ' '
    .. text(l.foreign) .. ' ' .. l.proc)
end
local function mine(l, token)
  return l ~= nil and l.token == token                                        -- [g: token]
end
local function end_run(R)
  redis.call('HDEL', 'relay:lease', R)
  redis.call('ZREM', 'relay:leases', R)
  redis.call('HSET', 'relay:seen', R, text(current_tick()))
  local c = connection_of(R)
  if redis.call('HGET', 'relay:probe', c) == R then redis.call('HDEL', 'relay:probe', c) end
end
local function close(R)
  leave(R, place_of(R))
  redis.call('ZREM', 'relay:open', R)
  for _, key in ipairs({'seq', 'place', 'body', 'attempts', 'deaths', 'trouble'}) do redis.call('HDEL', 'relay:' .. key, R) end
end
local function born_ms()
  local v = redis.call('GET', 'relay:born')
  return v and tonumber(string.match(v, ' (%d+)$')) or nil
end
-- A server process never met before may hold data from before its end: runs then count as begun inside a stray window.
local function hello()
  local id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local known = redis.call('GET', 'relay:born')
  local clean = redis.call('GET', 'relay:clean_stop')
  if not known or string.match(known, '^(%w+)') ~= id then
    redis.call('SET', 'relay:born', id .. ' ' .. text(math.min(now, tonumber(clean or now))))
  end
  if clean then redis.call('DEL', 'relay:clean_stop') end
end

-- opts: body, mark (both of a reconcile's finding); trace: who opened it, for the log lines of its runs
local function open_one(R, lane, why, body, mark, trace)
  local p = place_of(R)
  local cur, was, told = seq_of(R)
  local use = body and p ~= 'lease'                                           -- [g: snap_lease]
    and cur < mark                                                            -- [g: snap_mark]
    and hnum('relay:seen', R) < mark                                          -- [g: snap_seen]
  local stays_live = lane == 'live' or (p and was == 'live')
  -- The newest opener's trace; what has none, or only found what an event had told already, leaves the one that is there.
  if trace and trace ~= '' and (lane == 'live' or was == 'bulk') then told = trace end
  redis.call('HSET', 'relay:seq', R, text(tick) .. (stays_live and ' live' or ' bulk') .. (told ~= '' and ' ' .. told or ''))
  if use then redis.call('HSET', 'relay:body', R, body)
  elseif p then redis.call('HDEL', 'relay:body', R) end                       -- [g: snap_drop]
  if why == 'event' or why == 'replay' then redis.call('HDEL', 'relay:attempts', R) end
  if why == 'replay' or why == 'refused' or why == 'restart' then             -- [g: restart_doubt]
    redis.call('HSET', 'relay:intent', R, text(math.max(hnum('relay:intent', R) + 1, now)))
  end
  if not p then
    redis.call('ZADD', 'relay:open', now, R)
    ready(R, lane)
  elseif lane == 'live' and (p == 'due' or p == 'bulk') then
    ready(R, 'live')
  end
end

-- The late worker's own repair: it wrote, and no longer holds the record.
local function refuse(R, till)
  next_tick()
  redis.call('HSET', 'relay:intent', R, text(math.max(hnum('relay:intent', R) + 1, till)))   -- [g: refused]
  open_one(R, 'live', 'refused')                                              -- [g: refused]
end
"""

OPEN: Final = r"""
-- open lane why mark with_bodies traces (R [body])...  -> number of records
-- traces: nothing, one for all, or one for each record in their order, 52 characters each (mapping/traceparent.py)
local lane, why, mark, with_bodies, traces = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5]
next_tick()   -- the first write of the script: without memory it is refused whole
local n = 0
local one = #traces <= 52 and traces
for i = 6, #ARGV, with_bodies and 2 or 1 do
  local body = with_bodies and ARGV[i + 1] or nil
  if body == '' then body = nil end
  open_one(ARGV[i], lane, why, body, mark or 0, one or string.sub(traces, 52 * n + 1, 52 * n + 52))
  n = n + 1
end
flush()
return n
"""

MARK: Final = r"""
-- mark -> tick; asked for before a page is read, so that what is read later than anything admitted can be told
return text(next_tick())
"""

HELLO: Final = r"""
-- hello -> now; the first call on every new connection
hello()
return text(now)
"""

TAKE: Final = r"""
-- take lane token proc L W
--   -> nil | {R, body, attempts, foreign, now, expiry, opened, lane of the record, probing, seq, sent, trace}
local lane, token, proc, L, W = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not redis.call('GET', 'relay:born') then hello() end
local waiting = 'relay:ready:' .. lane
for _ = 1, 50 do
  local R = redis.call('ZRANGE', waiting, 0, 0)[1]
  if not R then return nil end
  if not may_run(R) then                                                      -- [g: pause]
    park(R)
    redis.call('ZREM', waiting, R)
  else
    redis.call('ZADD', 'relay:leases', now + L, R)   -- the first growing write: without memory it is refused whole
    redis.call('ZREM', waiting, R)
    local foreign = hnum('relay:intent', R)
    local since = born_ms()
    if now < since + W then foreign = math.max(foreign, since + W) end        -- [g: born]
    local seq, own_lane, trace = seq_of(R)
    write_lease(R, {token = token, seq = seq, taken = now, own = 0, foreign = foreign, proc = proc})
    redis.call('HSET', 'relay:place', R, 'lease')
    local body = redis.call('HGET', 'relay:body', R)
    if body then redis.call('HDEL', 'relay:body', R) end
    local probing = redis.call('HGET', 'relay:probe', connection_of(R)) == R
    return {R, body or '', hnum('relay:attempts', R), text(foreign), text(now), text(now + L),
            redis.call('ZSCORE', 'relay:open', R) or text(now), own_lane, probing and 1 or 0, text(seq),
            redis.call('HGET', 'relay:sent', R) or '', trace}
  end
end
if redis.call('ZCARD', waiting) > 0 then ring(lane) end
flush()
return nil
"""

HOLD: Final = r"""
-- hold R token writing L W names -> expiry | 0 when the record is another's; names: the fields that the write sets, a line each
local R, token, writing, L, W = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local l = lease_of(R)
if not mine(l, token) then return '0' end
redis.call('ZADD', 'relay:leases', now + L, R)
if writing then                                                               -- [g: intent]
  local noted = hnum('relay:intent', R)
  if noted ~= l.own then l.foreign = math.max(l.foreign, noted) end           -- [g: own_intent]
  l.own = math.max(noted + 1, now + W)
  redis.call('HSET', 'relay:intent', R, text(l.own))
  local sent = redis.call('HGET', 'relay:sent', R)
  if ARGV[6] ~= '' and not (sent and string.find(sent, ARGV[6], 1, true)) then
    redis.call('HSET', 'relay:sent', R, (sent and sent .. '\n' or '') .. ARGV[6])
  end
  write_lease(R, l)
end
return text(now + L)
"""

DONE: Final = r"""
-- done R token wrote entry outcome W held -> {accepted, ms since it was opened, closed}; held: code of the reason, if it is held
local R, token, wrote, entry, outcome, W = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5], tonumber(ARGV[6])
local l = lease_of(R)
if not mine(l, token) then
  if wrote then refuse(R, now); flush() end
  return {0, '0', 0}
end
local c = connection_of(R)
local waited = now - tonumber(redis.call('ZSCORE', 'relay:open', R) or now)
end_run(R)
if entry ~= '' then
  local ledger, field = 'relay:ledger:' .. c, field_of(R)
  local old = redis.call('HGET', ledger, field)
  local before = old and string.match(old, '^1([%l_]+)\n')
  if before ~= outcome then
    if before then redis.call('HINCRBY', 'relay:tally:' .. c, before, -1) end
    redis.call('HINCRBY', 'relay:tally:' .. c, outcome, 1)
  end
  redis.call('HSET', ledger, field, '1' .. outcome .. '\n' .. entry)
  local held = ARGV[7] or ''
  if held ~= '' then redis.call('HSET', 'relay:held:' .. c, field, held)
  else redis.call('HDEL', 'relay:held:' .. c, field) end
end
redis.call('HDEL', 'relay:letters', R)
redis.call('HDEL', 'relay:replays', R)
redis.call('HDEL', 'relay:discarded', R)
redis.call('HDEL', 'relay:attempts', R)
redis.call('HDEL', 'relay:deaths', R)
redis.call('HDEL', 'relay:trouble', R)
local intent, since = hnum('relay:intent', R), born_ms() or 0
local other = l.foreign
if intent ~= l.own then other = math.max(other, intent) end                   -- [g: own_intent]
if since > l.taken then other = math.max(other, since + W) end
local seq, lane = seq_of(R)
local newer = seq ~= l.seq                                                    -- [g: seq]
local closed = 0
if other >= l.taken then                                                      -- [g: lookback]
  redis.call('HSET', 'relay:intent', R, text(other))
  if newer then ready(R, lane) else wait_until(R, other + 1) end
else
  redis.call('HDEL', 'relay:intent', R)
  redis.call('HDEL', 'relay:sent', R)
  if newer then ready(R, lane) else close(R); closed = 1 end
end
flush()
return {1, text(waited), closed}
"""

END_UNFINISHED: Final = r"""
-- what later and bury share; returns the lease and whether something newer was admitted, or nil when refused
local function end_unfinished(R, token, touched, W)
  local l = lease_of(R)
  if not mine(l, token) then
    if touched then refuse(R, now + W); flush() end
    return nil
  end
  end_run(R)
  local intent = hnum('relay:intent', R)
  if touched then
    redis.call('HSET', 'relay:intent', R, text(math.max(intent, now + W)))    -- [g: rewindow]
  elseif intent == l.own and l.own > 0 then
    if l.foreign > 0 then redis.call('HSET', 'relay:intent', R, text(l.foreign))
    else
      redis.call('HDEL', 'relay:intent', R)
      redis.call('HDEL', 'relay:sent', R)
    end
  end
  return l
end
"""

LATER: Final = (
    END_UNFINISHED
    + r"""
-- later R token due spend touched W trouble body -> 1 | 0 when refused; due: ms of Redis' clock, or + and ms from now;
-- body: the snapshot that `take` gave and that was not used, or nothing
local R, token, due, spend, touched, W = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5] == '1', tonumber(ARGV[6])
local l = end_unfinished(R, token, touched, W)
if not l then return 0 end
local wait = string.match(due, '^%+(%d+)$')
due = wait and now + tonumber(wait) or tonumber(due)
if spend then redis.call('HINCRBY', 'relay:attempts', R, 1) end
if ARGV[7] ~= '' then redis.call('HSET', 'relay:trouble', R, ARGV[7]) end
local seq, lane = seq_of(R)
if ARGV[8] ~= '' and not touched and seq == l.seq then                        -- [g: keep_seq]
  redis.call('HSET', 'relay:body', R, ARGV[8])
end
if seq ~= l.seq and spend then                                                -- [g: later_seq]
  redis.call('HDEL', 'relay:attempts', R)
  ready(R, lane)
elseif due <= now then ready(R, lane)
else wait_until(R, due) end
flush()
return 1
"""
)

BURY: Final = (
    END_UNFINISHED
    + r"""
-- bury R token letter touched W -> 2 buried | 1 opened anew, something newer was admitted | 0 refused
local R, token, letter, touched, W = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local l = end_unfinished(R, token, touched, W)
if not l then return 0 end
local seq, lane = seq_of(R)
local answer = 2
if seq ~= l.seq then                                                          -- [g: bury_seq]
  redis.call('HDEL', 'relay:attempts', R)
  ready(R, lane)
  answer = 1
else
  redis.call('HSET', 'relay:letters', R, letter)
  redis.call('HDEL', 'relay:discarded', R)
  close(R)
end
flush()
return answer
"""
)

PAUSE: Final = r"""
-- pause connection until every reason; until: ms | inf; every: ms between probes, 0 = none, the first after `every`
local till = ARGV[2]
local every = tonumber(ARGV[3])
local probe = every > 0 and text(now + every) or '-'
redis.call('HSET', 'relay:paused', ARGV[1], till .. ' ' .. probe .. ' ' .. text(every) .. ' ' .. ARGV[4])
return 1
"""

RESUME: Final = r"""
-- resume connection; the sweep empties its parked records
redis.call('HDEL', 'relay:probe', ARGV[1])
return redis.call('HDEL', 'relay:paused', ARGV[1])
"""

SWEEP: Final = r"""
-- sweep counts_from silence -> {name, number, ...}; silence: ms without a sign of life after which a process is dead
local counts_from, silence = tonumber(ARGV[1]), tonumber(ARGV[2])
local n = {expired = 0, deaths = 0, buried = 0, due = 0, unparked = 0, probes = 0, bells = 0, bugs = 0}

-- 1. leases that ran out                                                     -- [g: expiry]
for _, R in ipairs(redis.call('ZRANGEBYSCORE', 'relay:leases', '-inf', now, 'LIMIT', 0, 100)) do
  local l = lease_of(R)
  end_run(R)
  if redis.call('HEXISTS', 'relay:seq', R) == 1 and l then
    n.expired = n.expired + 1
    local seq, lane = seq_of(R)
    local dead = now - hnum('relay:procs', l.proc) > silence                  -- [g: heartbeat]
    if l.taken > counts_from and dead then                                    -- [g: boot]
      redis.call('HINCRBY', 'relay:deaths', R, 1)
      n.deaths = n.deaths + 1
    end
    local deaths = hnum('relay:deaths', R)
    if deaths >= 3 and seq == l.seq then
      redis.call('HSET', 'relay:letters', R,
        '0{"class":"killer","deaths":' .. deaths .. ',"seq":' .. text(l.seq) .. ',"at":' .. text(now)
          .. ',"opened":' .. (redis.call('ZSCORE', 'relay:open', R) or text(now)) .. '}')
      redis.call('HDEL', 'relay:discarded', R)
      close(R)
      n.buried = n.buried + 1
    elseif deaths <= 1 then ready(R, lane)
    else wait_until(R, now + 30000) end
  end
end

-- 2. records whose time has come                                             -- [g: due]
for _, R in ipairs(redis.call('ZRANGEBYSCORE', 'relay:due', '-inf', now, 'LIMIT', 0, 500)) do
  local _, lane = seq_of(R)
  ready(R, lane)
  n.due = n.due + 1
end

-- 3. parked records of connections that may run again, and one record as a probe of each that is being probed
local pauses = redis.call('HGETALL', 'relay:paused')
for i = 1, #pauses, 2 do
  local c = pauses[i]
  local till, probe_at, every, reason = string.match(pauses[i + 1], '^(%S+) (%S+) (%d+) (.*)$')
  if not is_paused(c) then
    redis.call('HDEL', 'relay:paused', c)
    redis.call('HDEL', 'relay:probe', c)
  elseif probe_at ~= '-' and tonumber(probe_at) <= now and redis.call('HEXISTS', 'relay:probe', c) == 0 then  -- [g: probe_one]
    local R = redis.call('ZRANGE', 'relay:parked:' .. c, 0, 0)[1]
    if R then                                                                 -- [g: probe]
      redis.call('HSET', 'relay:probe', c, R)
      redis.call('HSET', 'relay:paused', c, till .. ' ' .. text(now + tonumber(every)) .. ' ' .. every .. ' ' .. reason)
      local _, lane = seq_of(R)
      ready(R, lane)
      n.probes = n.probes + 1
    end
  end
end
for _, c in ipairs(redis.call('SMEMBERS', 'relay:parking')) do                -- [g: unpark]
  if not is_paused(c) then
    for _, R in ipairs(redis.call('ZRANGE', 'relay:parked:' .. c, 0, 499)) do
      local _, lane = seq_of(R)
      ready(R, lane)
      n.unparked = n.unparked + 1
    end
  end
end
flush()

-- 4. as many bells as records that wait                                      -- [g: topup]
for _, lane in ipairs({'live', 'bulk', 'solo'}) do
  local missing = math.min(redis.call('ZCARD', 'relay:ready:' .. lane) - redis.call('LLEN', 'dramatiq:' .. lane), 1000)
  if missing > 0 then
    ring(lane, missing)
    n.bells = n.bells + missing
  end
end

-- 5. the audit of itself: an open record that is in no place is a bug of ours, mended and counted
local page = redis.call('HSCAN', 'relay:seq', redis.call('GET', 'relay:audit') or '0', 'COUNT', 100)
redis.call('SET', 'relay:audit', page[1])
local keys = {due = 'relay:due', lease = 'relay:leases'}
for _, lane in ipairs({'live', 'bulk', 'solo'}) do keys[lane] = 'relay:ready:' .. lane end
for i = 1, #page[2], 2 do
  local R = page[2][i]
  local p = place_of(R)
  local key = p and (keys[p] or 'relay:parked:' .. connection_of(R))
  if not key or not redis.call('ZSCORE', key, R) or (p == 'lease' and redis.call('HEXISTS', 'relay:lease', R) == 0) then
    if p == 'lease' then end_run(R) end
    redis.call('ZADD', 'relay:open', 'NX', now, R)
    ready(R, 'bulk')
    n.bugs = n.bugs + 1
  end
end

-- processes that have long been silent are forgotten
local procs = redis.call('HGETALL', 'relay:procs')
for i = 1, #procs, 2 do
  if now - tonumber(procs[i + 1]) > 3600000 then redis.call('HDEL', 'relay:procs', procs[i]) end
end
flush()
local answer = {}
for name, number in pairs(n) do
  answer[#answer + 1] = name
  answer[#answer + 1] = number
end
return answer
"""

HEARTBEAT: Final = r"""
-- heartbeat proc -> now
redis.call('HSET', 'relay:procs', ARGV[1], text(now))
return text(now)
"""

COMMANDS: Final = {
    "open": OPEN,
    "mark": MARK,
    "hello": HELLO,
    "take": TAKE,
    "hold": HOLD,
    "done": DONE,
    "later": LATER,
    "bury": BURY,
    "pause": PAUSE,
    "resume": RESUME,
    "sweep": SWEEP,
    "heartbeat": HEARTBEAT,
    **scripts_letters.COMMANDS,
}

SCRIPTS: Final = {name: PRELUDE + command for name, command in COMMANDS.items()}
