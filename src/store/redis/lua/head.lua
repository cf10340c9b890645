-- The head of a script (docs/revocation-protocol.md#head-1 and #head-2). A script that gets past it may trust `id`, `n`
-- and `h`, the epoch with its last number and the hash of its chain; `rid` is the primary generation.
--
-- ARGV: 1 now (ms), 2 to 4 the caller's epoch, number and chain hash, 5 the largest allowed clock difference (ms), from
-- 6 on the script's own. Every reply is an array whose first element is its tag.
--
-- The shebang before it makes Redis reject the script on a follower as a whole, reads included (nothing is ever read
-- from a follower).

local now = tonumber(ARGV[1])
local seconds = math.floor(now / 1000)
local my_epoch, my_number, my_hash = ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- No script serves a replica whose clock is off. No clock decides about order, but expired entries are removed by
-- the caller's time, and a clock that is an hour fast would remove an entry while a token that it covers is still
-- valid.
-- test seam: STORE_TIME
local at = redis.call('TIME')
-- safeguard: CLOCK
if math.abs(now - tonumber(at[1]) * 1000) > tonumber(ARGV[5]) then return {'CLOCK'} end

-- docs/revocation-protocol.md#head-1: an epoch that is missing, or that another server process wrote, is over. The
-- reply is REGIME, and nothing is written. A node that was restarted, restored, emptied or promoted may have lost
-- a revocation.
local E = fields(P .. 'epoch', {'id', 'rid', 'n', 'h', 'settled'})
local rid = primary_generation()
if not rid then return {'UNIDENTIFIED'} end
-- safeguard: RUN_ID
local of_another_process = E.rid ~= rid
if not E.id or not E.n or of_another_process then return {'REGIME', E.id or '', E.rid or '', rid} end
local id, n, h = E.id, tonumber(E.n), E.h
-- safeguard: SETTLED
local settled = E.settled == '1'

-- docs/revocation-protocol.md#head-2: ROLLBACK means that the log is behind the caller or contradicts it; gap
-- means that entries after the caller's were trimmed.
local gap = false
if my_epoch == id then
  if my_number > n then return {'ROLLBACK', id, rid, rid} end
  local there = h
  if my_number < n then
    local first = redis.call('XRANGE', P .. 'log', '-', '+', 'COUNT', 1)[1]
    if not first then return {'ROLLBACK', id, rid, rid} end
    local oldest = tonumber(string.match(first[1], '^%d+'))
    gap = my_number < oldest and not (my_number == 0 and oldest == 1)
    there = my_hash
    if my_number >= oldest then
      local entry = redis.call('XRANGE', P .. 'log', my_number .. '-0', my_number .. '-0')[1]
      if not entry then return {'ROLLBACK', id, rid, rid} end
      there = entry_fields(entry).h
    end
  end
  if my_hash ~= '' and my_hash ~= there then return {'ROLLBACK', id, rid, rid} end
end
