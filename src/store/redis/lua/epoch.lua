-- Begins an epoch and settles it.

-- NEW-EPOCH (docs/revocation-protocol.md#head-3): compare-and-set on what was seen, so that of many replicas that saw
-- the same end exactly one begins the new epoch, and only on the server where it was seen (another connection may lead
-- to another one by now). Sessions and artefacts carry their epoch and are invalid in the new one; TTLs remove them.
-- Locks, marks of fresh sign-ins, the longest token lifetime and the known leases stay.
--
-- The mark `leases` means that the known leases are complete. It is set if the epoch that ends had it, and none of its
-- replicas was of a version that registers no lease; and if there was no epoch before. `settled` is not set: nothing is
-- minted until a replica has seen this epoch for W.
--
-- seen, wrote: the epoch that was seen, and the primary generation that wrote it. on: that in which it was seen. new:
-- 128 random bits.
local function new_epoch(seen, wrote, on, new)
  local E = fields(P .. 'epoch', {'id', 'rid', 'leases'})
  local rid = primary_generation()
  if not rid then return {'UNIDENTIFIED'} end
  if rid ~= on or (E.id or '') ~= seen or (E.rid or '') ~= wrote then return {'SEEN'} end
  local all_known = E.leases or not E.id
  local states = redis.call('HGETALL', P .. 'live')
  -- Inside a JSON string the quotes would be escaped.
  for i = 2, #states, 2 do all_known = all_known and string.find(states[i], '"leaseMs":%d') end
  for _, prov in ipairs(redis.call('SMEMBERS', P .. 'providers')) do redis.call('UNLINK', P .. 'ends:' .. prov) end
  for _, key in ipairs(redis.call('SMEMBERS', P .. 'sweeps')) do redis.call('UNLINK', key) end
  for _, name in ipairs({'all', 'open', 'active'}) do
    redis.call('UNLINK', P .. 'access-' .. name .. ':' .. (E.id or ''))
  end
  local over = {'epoch', 'log', 'idx', 'wm', 'wm:until', 'live', 'sessions', 'used', 'ends', 'providers', 'seq',
    'sweeps', 'unlocked'}
  -- safeguard: LEASES_KEPT
  for _, name in ipairs(over) do redis.call('UNLINK', P .. name) end
  redis.call('HSET', P .. 'epoch', 'id', new, 'rid', rid, 'n', 0, 'h', new)
  if all_known then redis.call('HSET', P .. 'epoch', 'leases', 1) end
  redis.call('PUBLISH', P .. 'news', 0)
  return {'BEGAN'}
end

-- Marks the epoch as settled: every replica that held a lease in the one before has lost it by now or has written its
-- locks back here. The caller has seen its epoch for W; in another one it does nothing.
local function settle()
  if my_epoch == id then redis.call('HSET', P .. 'epoch', 'settled', 1) end
  return {'OK'}
end
