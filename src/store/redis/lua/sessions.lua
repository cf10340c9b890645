-- Sessions: evaluates, opens and ends them. `hash` is a session id's digest.

-- How many of the sessions beneath one are deleted with it when it is cleaned up. Those that are left are rejected,
-- because a session above them is gone, and have an end of their own. A revocation deletes all of them.
local BENEATH_CLEANED_UP = 100

-- up: digests of the sessions above a delegated one, the user's own first. '' or nothing for any other session.
local function epoch_for(up)
  return up and up ~= '' and id .. DELEGATED or id
end

local function each_of(up)
  return string.gmatch(up or '', '%S+')
end

-- Watermarks of account, provider and all must be at most the number at which the sign-in STARTED.
local function covered(acc, prov, started)
  local marks = redis.call('HMGET', P .. 'wm', 'account:' .. acc, 'provider:' .. prov, 'all')
  for _, mark in ipairs(marks) do
    -- safeguard: WATERMARK
    if mark and tonumber(mark) > started then return true end
  end
  return false
end

-- Without those that have kilobytes.
local BRIEF_FIELDS = {'ep', 'acc', 'prov', 'sn', 'exp', 'idle', 'lu', 'up'}

-- Evaluates one session, whatever is above it. Returns its fields, '' for each that it has not, or nil and the reason.
-- brief: for one that is counted.
local function session_alone(hash, brief)
  local f = fields(P .. 'session:' .. hash, brief and BRIEF_FIELDS or SESSION_FIELDS)
  if not f.ep then return nil, 'session_unknown' end
  if f.ep ~= epoch_for(f.up) then return nil, 'epoch_changed' end
  if covered(f.acc, f.prov, tonumber(f.sn)) then return nil, 'session_revoked' end
  if seconds >= tonumber(f.exp) or seconds >= tonumber(f.lu) + tonumber(f.idle) then return nil, 'session_expired' end
  for _, name in ipairs(SESSION_FIELDS) do f[name] = f[name] or '' end
  return f
end

-- A token that is minted after the revocation of a session has a number beyond its entry, so no replica would reject
-- it: nothing is opened or minted beneath a session that has ended. g: fields of a valid session, or nil.
local function is_over(g)
  -- safeguard: PARENT_ALIVE
  return not g
end

-- The fields of every session above those that were evaluated, for the reply.
local above = {}

-- Returns the fields of a valid session, its grants as a reply shows them, or nil and the reason.
local function valid_session(hash, brief)
  local f, why = session_alone(hash, brief)
  if not f then return nil, why end
  for ancestor in each_of(f.up) do
    -- Hundreds may be beneath one session.
    local g = above[ancestor] or session_alone(ancestor, brief)
    if is_over(g) then return nil, 'parent_over' end
    above[ancestor] = g
  end
  if not brief then f.gr = shown_grants(f.gr) end
  return f
end

-- For a reply.
local function shown_session(f)
  return in_order(f, SESSION_FIELDS)
end

local function all_above()
  local found = {}
  for hash, f in pairs(above) do
    -- Their grants reach nothing beneath them, for any reader: they would only make the reply longer.
    f.gr = ''
    found[#found + 1] = {hash, shown_session(f)}
  end
  return found
end

-- The reply of a script about one session: its fields, and those of the sessions above it.
local function granted(hash)
  local f, why = valid_session(hash)
  if not f then return {'NO', why} end
  return {'OK', id, n, shown_session(f), all_above()}
end

-- The score in the order of last use: no two sessions used in one second share it. A whole number below 2^53,
-- written as one.
local function place_of_use(used, seq)
  return string.format('%.0f', tonumber(used) * SCORES_PER_SECOND + tonumber(seq) % SCORES_PER_SECOND)
end

-- Deletes a session with its artefacts, its recent requests and its entries in every index.
local function end_alone(hash)
  local key = P .. 'session:' .. hash
  local f = fields(key, {'acc', 'prov', 'un', 'ps', 'up'})
  drop_artefacts_of(P .. 'of:' .. hash)
  redis.call('DEL', key, P .. 'recheck:' .. hash, P .. 'recent:' .. hash)
  redis.call('ZREM', P .. 'sessions', hash)
  redis.call('ZREM', P .. 'used', hash)
  redis.call('ZREM', P .. 'ends', hash)
  if f.acc then redis.call('ZREM', P .. 'account:' .. f.acc, hash) end
  if f.prov then redis.call('ZREM', P .. 'ends:' .. f.prov, hash) end
  if f.un then redis.call('ZREM', P .. 'user:' .. f.un, hash) end
  if f.ps and f.ps ~= '' then redis.call('ZREM', P .. 'provider-session:' .. f.ps, hash) end
  for ancestor in each_of(f.up) do redis.call('ZREM', P .. 'beneath:' .. ancestor, hash) end
  redis.call('UNLINK', P .. 'beneath:' .. hash)
end

-- Does the same, and first for what is beneath it.
local function end_session(hash)
  local beneath = redis.call('ZRANGE', P .. 'beneath:' .. hash, 0, BENEATH_CLEANED_UP - 1)
  for _, child in ipairs(beneath) do end_alone(child) end
  end_alone(hash)
end

-- The index of a user, or of a session at a provider, lives as long as its longest session.
local function index_session(name, seq, hash, ttl)
  -- When Redis drops a record by its TTL, its indexes are no longer known: for each session added, up to two stale
  -- ones are removed.
  for _, old in ipairs(redis.call('ZRANGE', P .. name, 0, 1)) do
    if redis.call('EXISTS', P .. 'session:' .. old) == 0 then redis.call('ZREM', P .. name, old) end
  end
  redis.call('ZADD', P .. name, seq, hash)
  if redis.call('TTL', P .. name) < tonumber(ttl) then redis.call('EXPIRE', P .. name, ttl) end
end

-- Sessions that have ended and have not been removed yet do not count.
local function is_index_full(index, most)
  if redis.call('ZCARD', index) < most then return false end
  for _, old in ipairs(redis.call('ZRANGE', index, 0, 99)) do
    if not valid_session(old) then
      end_session(old)
      -- Redis may have dropped its record by its TTL, and with it the list of its indexes.
      redis.call('ZREM', index, old)
    end
  end
  return redis.call('ZCARD', index) >= most
end

-- Opens a session. epoch, started: where the sign-in started. exp, idle, created: absolute end, idle time and beginning
-- (s). ttl: for cleaning up (s). record, secret: sealed. user: username digest. via: digest of the session it was
-- opened through or ''. proved: when the user authenticated (s) or ''. ps: digest of the provider's session or ''.
-- skew: by how much whole seconds may be wrong (s). tp: thumbprint or ''.
--
-- Then of a delegated session, each '' for any other: digests of the sessions above it, sealed label, how many its
-- user's own session may have beneath it. UNSETTLED: locks of an earlier epoch may not have been written back yet.
local function open_session(hash, acc, prov, epoch, started, exp, idle, created, ttl, record, secret, user, via, proved,
  ps, skew, tp, up, label, delegations)
  local key = P .. 'session:' .. hash
  -- A position in an earlier epoch, or one that this epoch has not reached: the sign-in began elsewhere.
  if epoch ~= id or tonumber(started) > n then return {'NO', 'epoch_changed'} end
  if locked(acc) then return {'NO', 'account_locked'} end
  -- The account may be revoked while the user is at the provider's page.
  if covered(acc, prov, tonumber(started)) then return {'NO', 'session_revoked'} end
  local last = math.min(tonumber(exp), tonumber(created) + tonumber(idle))
  if seconds >= last then return {'NO', 'session_expired'} end
  local root
  if up == '' then
    -- The provider may end its session while the user is between its page and ours.
    local closed = ps ~= '' and redis.call('GET', P .. 'closed:' .. ps)
    if closed and tonumber(closed) > now then return {'NO', 'session_revoked'} end
    local mark = fresh_mark(acc)
    local proof = tonumber(proved)
    local proven = mark and proof and proof >= mark - tonumber(skew)
    if mark and not proven then return {'NO', 'fresh_sign_in_needed'} end
  else
    -- A user delegates while an admin revokes: whichever script comes first, what is beneath an ended session never
    -- lives. And each session above it must be of the same account, and stand where the new one says that it stands.
    local chain, parent = '', nil
    for ancestor in each_of(up) do
      local g = session_alone(ancestor)
      local elsewhere = g and (g.acc ~= acc or g.prov ~= prov or g.up ~= chain)
      if is_over(g) or elsewhere then return {'NO', 'parent_over'} end
      chain = chain == '' and ancestor or chain .. ' ' .. ancestor
      root = root or ancestor
      parent = g
    end
    if parent and tonumber(exp) > tonumber(parent.exp) then return {'NO', 'parent_over'} end
  end
  local there = redis.call('HGET', key, 'ep')
  if there == epoch_for('') or there == epoch_for('a session') then return {'EXISTS'} end
  if not settled then return {'UNSETTLED'} end

  if root and is_index_full(P .. 'beneath:' .. root, tonumber(delegations)) then
    return {'NO', 'delegations_too_many'}
  end
  if is_index_full(P .. 'account:' .. acc, MOST_SESSIONS_OF_AN_ACCOUNT) then return {'NO', 'sessions_too_many'} end
  redis.call('DEL', key, P .. 'recent:' .. hash)

  local seq = redis.call('INCR', P .. 'seq')
  -- test seam: SESSION_FIELDS
  redis.call('HSET', key, 'ep', epoch_for(up), 'acc', acc, 'prov', prov, 'sn', started, 'exp', exp, 'idle', idle,
    'lu', created, 'v', 1, 'r', record, 'x', secret, 'seq', seq, 'un', user, 'via', via, 'ck', created, 'ps', ps)
  if tp ~= '' then redis.call('HSET', key, 'tp', tp) end
  if up ~= '' then redis.call('HSET', key, 'up', up, 'd', label) end
  redis.call('EXPIRE', key, ttl)
  redis.call('ZADD', P .. 'sessions', seq, hash)
  redis.call('ZADD', P .. 'used', place_of_use(created, seq), hash)
  redis.call('ZADD', P .. 'ends', last, hash)
  redis.call('ZADD', P .. 'ends:' .. prov, last, hash)
  redis.call('SADD', P .. 'providers', prov)
  index_session('account:' .. acc, seq, hash, ttl)
  index_session('user:' .. user, seq, hash, ttl)
  if ps ~= '' then index_session('provider-session:' .. ps, seq, hash, ttl) end
  for ancestor in each_of(up) do index_session('beneath:' .. ancestor, seq, hash, ttl) end

  -- Each session opened removes up to ten that have ended, so that the indexes stay as small as the number of live
  -- sessions.
  local over = redis.call('ZRANGEBYSCORE', P .. 'ends', '-inf', seconds, 'LIMIT', 0, 10)
  for _, old in ipairs(over) do end_session(old) end
  redis.call('ZREMRANGEBYSCORE', P .. 'ends:' .. prov, '-inf', seconds)
  return granted(hash)
end

-- thumbprint: '' for none. UNSETTLED as above.
local function mint_session(hash, thumbprint)
  local f, why = valid_session(hash)
  if not f then return {'NO', why} end
  -- A binding is permanent: a client without the certificate is rejected like one with another certificate.
  if f.tp ~= '' and f.tp ~= thumbprint then return {'NO', 'certificate_mismatch'} end
  if locked(f.acc) then return {'NO', 'account_locked'} end
  if not settled then return {'UNSETTLED'} end
  local key = P .. 'session:' .. hash
  redis.call('HSET', key, 'lu', seconds)
  if thumbprint ~= '' then redis.call('HSET', key, 'tp', thumbprint) end
  local last = math.min(tonumber(f.exp), seconds + tonumber(f.idle))
  redis.call('ZADD', P .. 'ends', 'XX', last, hash)
  redis.call('ZADD', P .. 'ends:' .. f.prov, 'XX', last, hash)
  -- Not XX, so that a session that an earlier version opened is added.
  redis.call('ZADD', P .. 'used', place_of_use(seconds, f.seq), hash)
  return granted(hash)
end

local function read_session(hash)
  return granted(hash)
end

-- version: that which the caller read. secret, record: sealed, or '' if it stays. user: digest of the username in the
-- record. ttl: of the username's index (s). checked: `yes` if the provider has just been asked. notice: digest of the
-- key that the notice has.
local function update_session(hash, version, secret, record, user, ttl, checked, notice)
  local f, why = valid_session(hash)
  if not f then return {'NO', why} end
  -- Another re-check came between: the caller reads again.
  if f.v ~= version then return {'STALE'} end
  local key = P .. 'session:' .. hash
  if secret ~= '' then redis.call('HSET', key, 'x', secret) end
  if checked == 'yes' then redis.call('HSET', key, 'ck', seconds) end
  if record ~= '' then
    redis.call('HSET', key, 'r', record, 'v', tonumber(version) + 1)
    if user ~= f.un then
      -- What is beneath it has its identity.
      local renamed = redis.call('ZRANGE', P .. 'beneath:' .. hash, 0, -1)
      renamed[#renamed + 1] = hash
      for _, one in ipairs(renamed) do
        local seq = redis.call('HGET', P .. 'session:' .. one, 'seq')
        redis.call('ZREM', P .. 'user:' .. f.un, one)
        if seq then
          redis.call('HSET', P .. 'session:' .. one, 'un', user)
          index_session('user:' .. user, seq, one, ttl)
        end
      end
    end
    append_notice('identity-changed', 'session:' .. notice)
  end
  return granted(hash)
end

-- Lists sessions. name: of the index (`sessions`, `used`, or that of an account, a username, a provider's session or
-- what is beneath a session). after: score after which to begin or ''. direction: `up` or `down`. only: `own`,
-- `delegated` or ''. Examines a bounded number of index entries and removes those of ended sessions. MORE: the caller
-- may continue from the returned score. Each session comes with its score.
local function list_sessions(name, after, most, direction, only)
  local index, up = P .. name, direction == 'up'
  local from = after == '' and (up and '-inf' or '+inf') or '(' .. after
  local batch
  if up then batch = redis.call('ZRANGEBYSCORE', index, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 200)
  else batch = redis.call('ZREVRANGEBYSCORE', index, from, '-inf', 'WITHSCORES', 'LIMIT', 0, 200) end
  local function kind_of(hash)
    return (redis.call('HGET', P .. 'session:' .. hash, 'up') or '') == '' and 'own' or 'delegated'
  end
  local found, last, more = {}, '', #batch == 400
  for i = 1, #batch, 2 do
    last = batch[i + 1]
    local f, why
    -- Those that are not asked for are not read: each has some kilobytes.
    if only == '' or only == kind_of(batch[i]) then f, why = valid_session(batch[i]) end
    if f then
      found[#found + 1] = {batch[i], shown_session(f), last}
      if #found == tonumber(most) then
        more = more or i + 1 < #batch
        break
      end
    elseif why and why ~= 'session_revoked' then
      end_session(batch[i])
      redis.call('ZREM', index, batch[i])
    end
  end
  return {more and 'MORE' or 'OK', last, found, all_above()}
end

-- Counts sessions. name: of the index. first: rank of the first one. most: how many are examined. Returns whether there
-- are more, the number of those that have not ended, how many of them are delegated, and the digests of their accounts.
-- What is sealed is not read: a thousand sessions with the largest limits have eight megabytes of it.
local function tally_sessions(name, first, most)
  local batch = redis.call('ZRANGE', P .. name, first, first + most - 1)
  local sessions, beneath, seen, accounts = 0, 0, {}, {}
  for _, hash in ipairs(batch) do
    local f = valid_session(hash, true)
    if f then
      sessions = sessions + 1
      if f.up ~= '' then beneath = beneath + 1 end
      if not seen[f.acc] then
        seen[f.acc] = true
        accounts[#accounts + 1] = f.acc
      end
    end
  end
  return {#batch == tonumber(most) and 'MORE' or 'OK', sessions, beneath, accounts}
end

-- ps: digest of the provider's session. till: (ms). ttl: for cleaning up (s). It revokes, so it must pass even when
-- Redis is full.
local function close_provider_session(ps, till, ttl)
  redis.call('SET', P .. 'closed:' .. ps, till)
  redis.call('EXPIRE', P .. 'closed:' .. ps, ttl)
  return {'OK'}
end

-- Every session has one entry in `ends`, scored by the second in which it ends.
local function count_sessions()
  return {'OK', redis.call('ZCOUNT', P .. 'ends', '(' .. seconds, '+inf')}
end

-- It passes when Redis is full: without it no token is renewed, and there is at most one small key for each session.
local function claim_recheck(hash, holder, till, ttl)
  return claim(P .. 'recheck:' .. hash, holder, till, ttl)
end

-- Releases a claim, if the caller holds it.
local function release_recheck(hash, holder)
  local key = P .. 'recheck:' .. hash
  if redis.call('HGET', key, 'holder') == holder then redis.call('DEL', key) end
  return {'OK'}
end
