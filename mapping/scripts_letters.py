"""The agenda's steps with dead letters: what a person does with them. Each text follows the prelude of `mapping/scripts.py`.

A replay opens the record and leaves the letter where it is: the run's `done` takes it away, so that those who are held because
of it are told (model: guard `fanout_letter`), and a failure writes another in its place. So a letter whose record is open is
one that somebody is working on already, and nothing else need be noted for a second click to do nothing.
"""

from __future__ import annotations

from typing import Final

LETTER_ID: Final = r"""
-- The id of a record's letter: of what is stored, so another letter has another (as workers/letters/letter.py)
local function letter_id(R, stored) return 'r' .. string.sub(redis.sha1hex(R .. '\n' .. stored), 1, 11) end
"""

REPLAY: Final = (
    LETTER_ID
    + r"""
-- replay lane trace (R id first)... -> for each: 2 handed over | 1 open already | 0 that letter is not there any more
-- trace: the replay's, which the runs go on with
-- first: ms of the record's first letter, kept beside it because the sweep, which may write the next, cannot read this one
local lane, trace = ARGV[1], ARGV[2]
next_tick()   -- the first write of the script: without memory it is refused whole
local answers = {}
for i = 3, #ARGV, 3 do
  local R, id, first = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local letter = redis.call('HGET', 'relay:letters', R)
  local answer = 2
  if not letter or letter_id(R, letter) ~= id then answer = 0                 -- [g: replay_same]
  elseif place_of(R) then answer = 1                                          -- [g: replay_closed]
  else
    local before = redis.call('HGET', 'relay:replays', R)
    local times, since = string.match(before or '', '^(%d+) (%d+) ')
    redis.call('HSET', 'relay:replays', R, text(tonumber(times or 0) + 1) .. ' ' .. (since or first) .. ' ' .. text(now))
    -- One that has killed its workers runs alone from the beginning.           -- [g: solo]
    if string.sub(letter, 1, 1) == '0' then redis.call('HSET', 'relay:deaths', R, 1) end
    open_one(R, lane, 'replay', nil, nil, trace)
  end
  answers[#answers + 1] = answer
end
flush()
return answers
"""
)

DISCARD: Final = (
    LETTER_ID
    + r"""
-- discard (R id)... -> for each: 2 discarded | 1 its record is open | 0 that letter is not there any more
-- An intent stays: whatever run comes next must not trust the ledger. A mark stays too, until the record is decided or a
-- letter again: others may be held because of it, and that run has to tell them.  -- [g: discard_marks]
local answers = {}
for i = 1, #ARGV, 2 do
  local R, id = ARGV[i], ARGV[i + 1]
  local letter = redis.call('HGET', 'relay:letters', R)
  local answer = 2
  if not letter or letter_id(R, letter) ~= id then answer = 0
  elseif place_of(R) then answer = 1
  else
    redis.call('HSET', 'relay:discarded', R, text(now))
    redis.call('HDEL', 'relay:letters', R)
    redis.call('HDEL', 'relay:replays', R)
  end
  answers[#answers + 1] = answer
end
return answers
"""
)

REPLAY_DELIVERY: Final = r"""
-- replay_delivery connection field lane trace R... -> 2 its records are open and the letter is gone | 0 it was not there any more
local letters = 'relay:deliveries:' .. ARGV[1]
if redis.call('HEXISTS', letters, ARGV[2]) == 0 then return 0 end
next_tick()   -- the first write of the script: without memory it is refused whole
for i = 5, #ARGV do open_one(ARGV[i], ARGV[3], 'event', nil, nil, ARGV[4]) end
redis.call('HDEL', letters, ARGV[2])
flush()
return 2
"""

COMMANDS: Final = {"replay": REPLAY, "discard": DISCARD, "replay_delivery": REPLAY_DELIVERY}
