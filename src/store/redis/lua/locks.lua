-- Locks on accounts.

local function locked(acc)
  return redis.call('HEXISTS', P .. 'lock', acc) == 1
end

local function find_lock(acc)
  return {'OK', redis.call('HGET', P .. 'lock', acc) or ''}
end

-- Returns the epoch and all its locks: digest, sealed lock, and so on.
local function read_locks()
  return {'OK', id, redis.call('HGETALL', P .. 'lock')}
end

-- Removes a lock. `unlocked` remembers the accounts that this epoch has unlocked, so that no replica locks them
-- again with what it knows of an earlier epoch. It ends with the epoch: a server with older data may remember an
-- unlocking and not the lock that followed it, and would ignore a replica that knows that lock. The cost is that a
-- replica that missed the unlocking and comes back two epochs later locks the account again.
local function remove_lock(acc)
  if redis.call('HDEL', P .. 'lock', acc) == 0 then return {'OK', 0} end
  redis.call('SADD', P .. 'unlocked', acc)
  append_notice('unlocked', 'account:' .. acc)
  return {'OK', 1}
end

-- Writes back the locks that this epoch does not know (docs/revocation-protocol.md#head-3), each with the
-- revocation that belongs to a lock, so that sessions opened meanwhile end, and so that the other replicas learn
-- of the lock.
--
-- longest: token lifetime that the caller knows (s). mark_kept: until when an account's watermark is kept (ms). more:
-- account digest and sealed lock of each. Returns EPOCH if the caller is in another epoch.
local function restore_locks(longest, mark_kept, more)
  if my_epoch ~= id then return {'EPOCH'} end
  local till = stands_until(longest)
  for i = 1, #more, 2 do
    local acc, lock = more[i], more[i + 1]
    if redis.call('SISMEMBER', P .. 'unlocked', acc) == 0 and redis.call('HSETNX', P .. 'lock', acc, lock) == 1 then
      revoke_account(acc, till, mark_kept)
    end
  end
  -- Always writes: WAIT covers everything up to the last write of its connection, and whatever was written before
  -- must be confirmed with it.
  redis.call('HINCRBY', P .. 'epoch', 'restored', 1)
  return {'OK'}
end
