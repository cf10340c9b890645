-- The durations of leases that any replica may hold, beyond the registry of this epoch: `leases` holds each duration
-- and until when it counts, and outlives epochs.
--
-- An attacker waits for a failover while `revocation.staleness` is being lowered, and continues at a replica that is
-- cut off from the store and has a longer lease. The new epoch does not know that replica, so the store remembers how
-- long its lease may last.

-- Counts until a lease granted now has run out, and ENTRY_SKEW_SECONDS more: these clocks may be set, and only clean
-- up.
local function remember_lease(ms)
  local seconds_left = math.ceil(tonumber(ms) * 1.001 / 1000) + 1 + ENTRY_SKEW_SECONDS
  redis.call('ZADD', P .. 'leases', 'GT', tonumber(at[1]) + seconds_left, ms)
  local ttl = seconds_left + 60
  if redis.call('TTL', P .. 'leases') < ttl then redis.call('EXPIRE', P .. 'leases', ttl) end
end

local function longest_lease()
  redis.call('ZREMRANGEBYSCORE', P .. 'leases', '-inf', at[1])
  local longest = 0
  for _, ms in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do longest = math.max(longest, tonumber(ms)) end
  return longest
end
