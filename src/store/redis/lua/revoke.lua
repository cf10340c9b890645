-- Revokes.

-- How many delegated sessions were ended, and of the first of them the digest and the sealed label, in turns; and how
-- many access requests waited for approvals in the sessions that were ended.
local delegated, labels, requests = 0, {}, 0

local function finish_alone(hash)
  local f = fields(P .. 'session:' .. hash, {'ep', 'exp', 'idle', 'lu', 'up', 'd'})
  local alive = f.ep == epoch_for(f.up) and seconds < tonumber(f.exp) and seconds < tonumber(f.lu) + tonumber(f.idle)
  end_alone(hash)
  if alive and f.d then
    delegated = delegated + 1
    if #labels < 2 * MOST_LABELS then
      labels[#labels + 1] = hash
      labels[#labels + 1] = f.d
    end
  end
  return alive and 1 or 0
end

-- Ends a session and all that is beneath it. Returns how many were alive. An account has a bounded number of sessions.
local function finish(hash)
  local acc = redis.call('HGET', P .. 'session:' .. hash, 'acc')
  if acc then requests = requests + count_open(acc, hash) end
  local ended, beneath = 0, redis.call('ZRANGE', P .. 'beneath:' .. hash, 0, -1)
  for _, child in ipairs(beneath) do ended = ended + finish_alone(child) end
  return ended + finish_alone(hash)
end

-- docs/revocation-protocol.md#mint: a session or sign-in that started below the watermark of its account, its
-- provider or of all is rejected.
local function raise_watermark(key, kept)
  redis.call('HSET', P .. 'wm', key, n)
  if kept then redis.call('ZADD', P .. 'wm:until', kept, key) end
  for _, mark in ipairs(redis.call('ZRANGEBYSCORE', P .. 'wm:until', '-inf', now, 'LIMIT', 0, 20)) do
    redis.call('HDEL', P .. 'wm', mark)
    redis.call('ZREM', P .. 'wm:until', mark)
  end
end

-- how: 'ended' regularly; 'certain' of the user's identity; or ''.
local function revoke_session(hash, till, how)
  local f = how == 'ended' and {} or fields(P .. 'session:' .. hash, {'acc', 'via', 'up'})
  -- No sign-in opens a delegated session, so none brings it back, and its user's own session goes on.
  local is_delegated = f.up and f.up ~= ''
  if f.acc and how ~= 'certain' and not is_delegated then demand_fresh(f.acc) end
  local ended = 0
  -- The browser session through which it was opened would silently open the next one, so it is revoked too, by an
  -- entry of its own.
  if f.via and f.via ~= '' and redis.call('HGET', P .. 'session:' .. f.via, 'ep') == id then
    append_entry(till, 'revoked', 'session:' .. f.via)
    ended = finish(f.via)
  end
  append_entry(till, 'revoked', 'session:' .. hash)
  return ended + finish(hash)
end

local function revoke_account(acc, till, mark_kept)
  demand_fresh(acc)
  append_entry(till, 'revoked', 'account:' .. acc)
  raise_watermark('account:' .. acc, mark_kept)
  local ended = 0
  for _, hash in ipairs(redis.call('ZRANGE', P .. 'account:' .. acc, 0, -1)) do ended = ended + finish(hash) end
  redis.call('DEL', P .. 'account:' .. acc)
  return ended
end

-- The session goes on without it, so each replica reads it again before it learns of the end.
local function revoke_grant(grant, till, hash, notice)
  drop_grant(hash, grant)
  append_notice('identity-changed', 'session:' .. notice)
  append_entry(till, 'revoked', 'session:' .. grant)
  return 0
end

-- docs/revocation-protocol.md#revoke-2, "swept later": ends a bounded batch of the sessions that the revocation of
-- a provider or of all has covered.
local function sweep_batch(key, size)
  local batch = redis.call('ZPOPMIN', key, size)
  -- What is beneath one of them is among them.
  for i = 1, #batch, 2 do end_alone(batch[i]) end
  if redis.call('EXISTS', key) == 0 then redis.call('SREM', P .. 'sweeps', key) end
end

-- A provider or all: there may be many sessions, so the sweep ends them.
local function revoke_many(key, ends, till, batch)
  append_entry(till, 'revoked', key)
  raise_watermark(key)
  local ended = redis.call('ZCOUNT', ends, '(' .. seconds, '+inf')
  if redis.call('EXISTS', ends) == 1 then
    local rest = P .. 'sweep:' .. n
    redis.call('RENAME', ends, rest)
    redis.call('SADD', P .. 'sweeps', rest)
    sweep_batch(rest, tonumber(batch))
  end
  return ended
end

-- docs/revocation-protocol.md#revoke-2: idempotent by request id; n+1; log, idx, watermark, lock. The covered
-- sessions are deleted here for a session or an account, and by the sweep (below) if there may be many.
--
-- request, asked: digests of the request and of its meaning. name: session or account digest, provider, or ''. lock:
-- sealed, or ''. how: a session is revoked (`revoke_session`). longest: token lifetime that the caller knows (s). kept,
-- ttl: until when the result is kept (ms), and its TTL (s). mark_kept: until when an account's watermark is (ms).
-- batch: of the sweep. approval: key of one that must exist and is consumed with the write, or ''. Then of a grant:
-- digest of its session, digest of the key that the notice has, until when the entry must be kept at least (s).
local function append(request, asked, kind, name, lock, how, longest, kept, ttl, mark_kept, batch, approval, of, notice,
  over)
  local answer = P .. 'request:' .. request
  local known = fields(answer, {'ep', 'until', 'asked', 'n', 'sessions', 'delegated', 'labels', 'requests'})
  if known.ep == id and tonumber(known['until']) > now then
    if known.asked ~= asked then return {'REUSED'} end
    -- A write, because WAIT covers everything up to the last write of its connection: without one it would confirm
    -- nothing.
    redis.call('HINCRBY', answer, 'again', 1)
    local named = known.labels and cjson.decode(known.labels) or {}
    local beneath = tonumber(known.delegated or 0)
    local asked_for = tonumber(known.requests or 0)
    return {'OK', id, tonumber(known.n), tonumber(known.sessions), registry(), rid, beneath, named, asked_for}
  end

  if approval ~= '' then
    -- In the same script as the entry: one approval never allows two revocations, and is never consumed for nothing.
    if not live_artefact(approval) then return {'SPENT'} end
    drop_artefact(approval)
  end
  if lock ~= '' then
    redis.call('HSET', P .. 'lock', name, lock)
    redis.call('SREM', P .. 'unlocked', name)
  end
  local till = stands_until(longest)
  local ended
  if kind == 'session' then
    ended = revoke_session(name, till, how)
  elseif kind == 'account' then
    ended = revoke_account(name, till, mark_kept)
  elseif kind == 'provider' then
    ended = revoke_many('provider:' .. name, P .. 'ends:' .. name, till, batch)
  elseif kind == 'grant' then
    ended = revoke_grant(name, math.max(till, tonumber(over)), of, notice)
  else
    ended = revoke_many('all', P .. 'ends', till, batch)
  end

  redis.call('HSET', answer, 'ep', id, 'until', kept, 'asked', asked, 'n', n, 'sessions', ended)
  if delegated > 0 then redis.call('HSET', answer, 'delegated', delegated, 'labels', cjson.encode(labels)) end
  if requests > 0 then redis.call('HSET', answer, 'requests', requests) end
  redis.call('EXPIRE', answer, ttl)
  return {'OK', id, n, ended, registry(), rid, delegated, labels, requests}
end

-- Returns whether this very request was written already. asked: digest of its meaning.
local function has_written(request, asked)
  local known = fields(P .. 'request:' .. request, {'ep', 'until', 'asked'})
  local stands = known.ep == id and tonumber(known['until']) > now and known.asked == asked
  return {'OK', stands and 1 or 0}
end

-- Continues a sweep. Returns 1 if there is more.
local function sweep(batch)
  local key = redis.call('SRANDMEMBER', P .. 'sweeps')
  if key then sweep_batch(key, tonumber(batch)) end
  return {'OK', redis.call('EXISTS', P .. 'sweeps')}
end
