-- The artefacts of OAuth and of sign-in.

-- How many artefacts of a session are deleted immediately. An account may have a thousand sessions, which a revocation
-- ends in one step.
local ARTEFACTS_DROPPED_AT_ONCE = 16

-- Deletes an artefact together with the names that lead to it.
local function drop_artefact(key)
  local f = fields(key, {'uid', 'code', 'of', 'pd'})
  if f.uid and redis.call('GET', f.uid) == key then redis.call('DEL', f.uid) end
  if f.code and redis.call('GET', f.code) == key then redis.call('DEL', f.code) end
  if f.of then redis.call('SREM', f.of, key) end
  if f.pd then leave_pending(key, f.pd) end
  redis.call('DEL', key)
end

-- Returns nil for an artefact of an earlier epoch, an expired one, or one of an ended session. The server's own
-- TTL only cleans up.
local function live_artefact(key)
  local f = fields(key, {'ep', 'exp', 'p', 'c', 'of'})
  if f.ep ~= id or tonumber(f.exp) <= now then return nil end
  if f.of and redis.call('SISMEMBER', f.of, key) == 0 then return nil end
  return f
end

-- Without the set that names them, all of them are invalid. An attacker refreshes in a loop and then has the
-- session end: to delete a hundred thousand artefacts here would block Redis until leases lapse. So a few are
-- deleted now, as many as users have, and TTLs remove the rest.
local function drop_artefacts_of(set)
  for _, key in ipairs(redis.call('SRANDMEMBER', set, ARTEFACTS_DROPPED_AT_ONCE)) do drop_artefact(key) end
  redis.call('UNLINK', set)
end

-- Saves an artefact. exp: when it expires (ms). ttl: for cleaning up (s). payload: sealed. of, uid, code: the set of
-- its session and the names that lead to it, each '' for none.
--
-- For kinds that unauthenticated clients can create: the kind or '', digest of the site or '', bytes, the share of its
-- kind, bytes of the whole budget, and the largest part of the server's own limit that the budget may take. Returns how
-- many others were displaced.
local function save_artefact(key, exp, ttl, payload, of, uid, code, kind, site, bytes, share, budget, part)
  local before = live_artefact(key)
  local place = redis.call('HGET', key, 'pd')
  drop_artefact(key)
  -- test seam: ARTEFACT_FIELDS
  redis.call('HSET', key, 'ep', id, 'exp', exp, 'p', payload)
  -- An artefact that was consumed once stays consumed, even if it is saved again.
  if before and before.c then redis.call('HSET', key, 'c', before.c) end
  redis.call('EXPIRE', key, ttl)
  if of ~= '' then
    -- Takes a few at random and removes those that have expired. A user creates one after the other in a loop, and
    -- the rest is dropped in one step when the session ends, during which Redis does nothing else and leases lapse.
    for _, one in ipairs(redis.call('SRANDMEMBER', of, 4)) do
      if not live_artefact(one) then
        drop_artefact(one)
        redis.call('SREM', of, one)
      end
    end
    redis.call('HSET', key, 'of', of)
    redis.call('SADD', of, key)
    if redis.call('TTL', of) < tonumber(ttl) then redis.call('EXPIRE', of, ttl) end
  end
  if uid ~= '' then
    redis.call('HSET', key, 'uid', uid)
    redis.call('SET', uid, key, 'EX', ttl)
  end
  if code ~= '' then
    redis.call('HSET', key, 'code', code)
    redis.call('SET', code, key, 'EX', ttl)
  end
  if kind == '' then return {'OK', 0} end
  if site == '' then site = place and string.match(place, '%S+$') or '-' end
  local limit = tonumber(maxmemory())
  local most = limit > 0 and math.min(tonumber(budget), limit * part) or tonumber(budget)
  return {'OK', enter_pending(key, exp, kind, bytes, site, most * share)}
end

-- For a reply: an artefact, or that there is none.
local function shown_artefact(key, f)
  return f and {'OK', key, f.p or false, f.c or ''} or {'NONE'}
end

local function find_artefact(key)
  return shown_artefact(key, live_artefact(key))
end

-- name: a uid or a user code. field: the one in which the artefact itself holds that name.
local function find_artefact_by_name(name, field)
  local key = redis.call('GET', name)
  local f = key and live_artefact(key)
  if not f or redis.call('HGET', key, field) ~= name then return {'NONE'} end
  return shown_artefact(key, f)
end

-- Exactly one of any number of concurrent callers gets 1.
local function consume_artefact(key)
  if not live_artefact(key) then return {'OK', 0} end
  return {'OK', redis.call('HSETNX', key, 'c', seconds)}
end

-- Reads and deletes atomically.
local function take_artefact(key)
  local f = live_artefact(key)
  drop_artefact(key)
  return shown_artefact(key, f)
end

local function destroy_artefact(key)
  drop_artefact(key)
  return {'OK'}
end

-- set: that of a session's artefacts.
local function destroy_artefacts_of(set)
  drop_artefacts_of(set)
  return {'OK'}
end
