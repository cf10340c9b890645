-- Fresh sign-ins that are asked for (docs/architecture.md#invariant-11): by account, since when (s).

local function demand_fresh(acc)
  redis.call('ZADD', P .. 'fresh', 'GT', seconds, acc)
  redis.call('ZREMRANGEBYSCORE', P .. 'fresh', '-inf', seconds - FRESH_KEPT_SECONDS)
end

-- Returns since when the account's next sign-in must be a fresh one, or nil.
local function fresh_mark(acc)
  local mark = redis.call('ZSCORE', P .. 'fresh', acc)
  return mark and seconds < tonumber(mark) + FRESH_KEPT_SECONDS and mark or nil
end

local function find_fresh_sign_in(acc)
  return {'OK', fresh_mark(acc) or ''}
end

-- Lifts the mark and returns the outcome. newest: later revocations stay in force (s), or ''.
local function lift_fresh_sign_in(acc, newest)
  local mark = fresh_mark(acc)
  if not mark then return {'OK', 'none'} end
  if newest ~= '' and tonumber(mark) > tonumber(newest) then return {'OK', 'newer'} end
  redis.call('ZREM', P .. 'fresh', acc)
  return {'OK', 'lifted'}
end
