-- Access requests and their grants. `hash` is that of the key that a grant has in the log. The indexes have the epoch
-- in their names, so that nothing of an earlier one is ever counted or listed, whichever version began this one.
--
-- A script that writes what is sealed for an epoch or a time replies AGAIN where that has changed: the caller seals it
-- again.

local DAY_SECONDS = 86400
local ACCESS_TTL_SECONDS = HISTORY_SECONDS + 60
-- The caller asked for the time just before. A period that began longer ago is not written.
local LATE_MS = 1000

local function access_index(name) return P .. 'access-' .. name .. ':' .. id end
local function requests_of(acc) return access_index('of') .. ':' .. acc end
local function open_of(acc) return access_index('open-of') .. ':' .. acc end
local function open_as(role) return access_index('open-as') .. ':' .. role end
local function active_of(acc) return access_index('active-of') .. ':' .. acc end
local function active_as(role) return access_index('active-as') .. ':' .. role end

-- '' for a request of an earlier version, which is counted for no role.
local function role_of(hash) return redis.call('HGET', P .. 'access:' .. hash, 'role') or '' end

-- Returns the fields of a request, or nil for one of an earlier epoch, or that is no longer kept.
local function request_at(hash)
  local f = fields(P .. 'access:' .. hash, REQUEST_FIELDS)
  if f.ep ~= id or seconds >= (tonumber(f.kept) or 0) or not tonumber(f.open) then return nil end
  for _, name in ipairs(REQUEST_FIELDS) do f[name] = f[name] or '' end
  return f
end

-- For a reply.
local function shown_request(f)
  return in_order(f, REQUEST_FIELDS)
end

local function is_open(f) return f.st == 'open' and seconds < tonumber(f.open) end
local function is_granted(f) return f.st == 'granted' end

local function keep_request(hash, version, state, record, ends)
  local key = P .. 'access:' .. hash
  redis.call('HSET', key, 'v', version, 'st', state, 'r', record, 'end', ends, 'kept', seconds + HISTORY_SECONDS)
  redis.call('EXPIRE', key, ACCESS_TTL_SECONDS)
end

local function enter_index(name, place, hash)
  redis.call('ZADD', name, place, hash)
  redis.call('EXPIRE', name, ACCESS_TTL_SECONDS)
end

-- It waits for no approvals any more.
local function close_request(hash, acc)
  redis.call('ZREM', access_index('open'), hash)
  redis.call('ZREM', open_of(acc), hash)
  redis.call('ZREM', open_as(role_of(hash)), hash)
end

-- It is no grant that goes on any more.
local function leave_active(hash, acc)
  redis.call('ZREM', access_index('active'), hash)
  redis.call('ZREM', active_of(acc), hash)
  redis.call('ZREM', active_as(role_of(hash)), hash)
end

local function forget_request(hash)
  local acc = redis.call('HGET', P .. 'access:' .. hash, 'acc')
  if acc then
    close_request(hash, acc)
    leave_active(hash, acc)
    redis.call('ZREM', requests_of(acc), hash)
  end
  redis.call('ZREM', access_index('all'), hash)
  redis.call('ZREM', access_index('active'), hash)
  redis.call('DEL', P .. 'access:' .. hash)
end

-- Those that were not decided in time do not count, nor those that an earlier version ended or Redis has dropped.
local function is_full(name, most, counts)
  if redis.call('ZCARD', name) < most then return false end
  for _, old in ipairs(redis.call('ZRANGE', name, 0, 99)) do
    local f = request_at(old)
    if not f or not counts(f) then redis.call('ZREM', name, old) end
  end
  return redis.call('ZCARD', name) >= most
end

-- Drops what Redis has dropped by its TTL, and of too many those that have been over for longest.
local function tidy_requests(all, from)
  for _, old in ipairs(redis.call('ZRANGE', all, from, from + 9)) do
    local f = request_at(old)
    local over = f and not is_granted(f) and not is_open(f) and redis.call('ZCARD', all) >= MOST_KEPT
    if not f or over then forget_request(old) end
  end
end

-- A right begins while an admin revokes: whichever script comes first, none is in a session that has ended.
local function rejected_session(hash, acc)
  if locked(acc) then return 'account_locked' end
  local f = session_alone(hash)
  if not f or f.acc ~= acc then return 'session_over' end
  if f.up ~= '' then return 'session_delegated' end
end

local function rejected_grant(hash, acc, role)
  local there = grants_in(redis.call('HGET', P .. 'session:' .. hash, 'gr'))
  if #there >= MOST_GRANTS_OF_SESSION then return 'grants_of_session_too_many' end
  if is_full(active_of(acc), MOST_GRANTS_OF_ACCOUNT, is_granted) then return 'grants_of_account_too_many' end
  local all = redis.call('ZCARD', access_index('active'))
  if is_full(active_as(role), MOST_GRANTS - all, is_granted) then return 'grants_too_many' end
end

-- The period is sealed, so the caller had to ask for the time before.
local function is_late(began)
  return tonumber(began) > served or served - tonumber(began) > LATE_MS
end

local function enter_grant(hash, sess, acc, role, place, ends, sealed, notice)
  add_grant(sess, hash, ends, sealed)
  enter_index(access_index('active'), place, hash)
  enter_index(active_of(acc), place, hash)
  enter_index(active_as(role), place, hash)
  append_notice('identity-changed', 'session:' .. notice)
end

-- 1 for one that waits for approvals although its session has ended, whatever ended that.
local function is_left_open(f)
  return f.st == 'open' and not session_alone(f.sess) and 1 or 0
end

-- How many requests of an account wait for approvals. sess: digest of a session, of that alone; or nil.
local function count_open(acc, sess)
  local count = 0
  for _, hash in ipairs(redis.call('ZRANGE', open_of(acc), 0, -1)) do
    local f = request_at(hash)
    if f and is_open(f) and (not sess or f.sess == sess) then count = count + 1 end
  end
  return count
end

-- Returns the time (ms), the epoch, and the request's fields if it is known, with `is_left_open`.
local function read_request(hash)
  local f = request_at(hash)
  return f and {'OK', served, id, shown_request(f), is_left_open(f)} or {'OK', served, id}
end

-- hash, acc, sess: digests of the request, its account and its session. notice: digest of the key that the notice has.
-- open_until: when it may no longer be approved (s). record: sealed. role: its digest. Then of one that is granted at
-- once, each '' for any other: when the grant began and ends (ms), sealed grant.
local function create_request(epoch, hash, acc, sess, notice, open_until, record, role, began, ends, sealed)
  local grants = sealed ~= ''
  if epoch ~= id then return {'AGAIN'} end
  if request_at(hash) then return {'NO', 'request_changed'} end
  if seconds >= tonumber(open_until) then return {'NO', 'request_over'} end
  local why = rejected_session(sess, acc)
  if why then return {'NO', why} end

  -- An attacker asks and withdraws in a loop, or fills the approvers' queue.
  local yesterday = place_of_use(seconds - DAY_SECONDS + 1, 0)
  if redis.call('ZCOUNT', requests_of(acc), yesterday, '+inf') >= MOST_DAILY_OF_ACCOUNT then
    return {'NO', 'requests_of_account_too_many'}
  end
  if grants then
    why = rejected_grant(sess, acc, role)
    if why then return {'NO', why} end
  else
    if is_full(open_of(acc), MOST_OPEN_OF_ACCOUNT, is_open) then return {'NO', 'requests_of_account_too_many'} end
    local full = is_full(access_index('open'), MOST_OPEN, is_open)
    local left = MOST_OPEN - redis.call('ZCARD', access_index('open'))
    if full or is_full(open_as(role), left, is_open) then return {'NO', 'requests_too_many'} end
  end

  local all = access_index('all')
  tidy_requests(all, 0)
  local size = redis.call('ZCARD', all)
  if size > 0 then tidy_requests(all, tonumber(string.sub(redis.sha1hex(hash), 1, 8), 16) % size) end
  if redis.call('ZCARD', all) >= MOST_KEPT then return {'NO', 'requests_too_many'} end
  if grants and is_late(began) then return {'AGAIN'} end

  local place = place_of_use(seconds, redis.call('INCR', P .. 'access-seq'))
  local key = P .. 'access:' .. hash
  redis.call('DEL', key)
  redis.call('HSET', key, 'ep', id, 'acc', acc, 'sess', sess, 'open', open_until, 'place', place, 'role', role)
  keep_request(hash, 1, grants and 'granted' or 'open', record, ends)
  enter_index(all, place, hash)
  enter_index(requests_of(acc), place, hash)
  if grants then
    enter_grant(hash, sess, acc, role, place, ends, sealed, notice)
  else
    enter_index(access_index('open'), place, hash)
    enter_index(open_of(acc), place, hash)
    enter_index(open_as(role), place, hash)
  end
  return {'OK'}
end

-- version: that which the caller read. state: its next one. record: sealed.
local function change_request(epoch, hash, version, state, record)
  if epoch ~= id then return {'AGAIN'} end
  local f = request_at(hash)
  if not f then return {'NO', 'request_unknown'} end
  if f.v ~= version then return {'NO', 'request_changed'} end
  if not is_open(f) and not (f.st == 'open' and state == 'expired') then return {'NO', 'request_over'} end
  keep_request(hash, tonumber(version) + 1, state, record, '')
  if state ~= 'open' then close_request(hash, f.acc) end
  return {'OK'}
end

-- As of create_request and change_request. more: of each approval digests of the account and the session that gave it.
local function begin_grant(epoch, hash, version, acc, sess, notice, record, role, began, ends, sealed, more)
  if epoch ~= id then return {'AGAIN'} end
  local f = request_at(hash)
  if not f then return {'NO', 'request_unknown'} end
  if f.v ~= version then return {'NO', 'request_changed'} end
  if not is_open(f) then return {'NO', 'request_over'} end
  local why = rejected_session(sess, acc)
  if why then return {'NO', why} end
  -- An approver is revoked while the last one decides: a grant that began after the receipt would rest on them.
  for i = 1, #more, 2 do
    if rejected_session(more[i + 1], more[i]) then return {'NO', 'approver_over'} end
  end
  why = rejected_grant(sess, acc, role)
  if why then return {'NO', why} end
  if is_late(began) then return {'AGAIN'} end
  keep_request(hash, tonumber(version) + 1, 'granted', record, ends)
  close_request(hash, acc)
  -- Of one that an earlier version stored.
  redis.call('HSET', P .. 'access:' .. hash, 'role', role)
  enter_grant(hash, sess, acc, role, f.place, ends, sealed, notice)
  return {'OK'}
end

-- Writes a request of which something is noted, or whose grant has ended. Returns the reply, and its fields if it is
-- OK.
local function update_request(epoch, hash, version, state, record)
  local f = request_at(hash)
  if not f then return {'NO', 'request_unknown'} end
  if epoch ~= id or f.v ~= version then return {'AGAIN'} end
  keep_request(hash, tonumber(version) + 1, state or f.st, record, f['end'])
  return {'OK'}, f
end

-- It passes when Redis is full.
local function note_grant(epoch, hash, version, _, record)
  return (update_request(epoch, hash, version, nil, record))
end

-- sess: digest of its session.
local function end_grant(epoch, hash, version, sess, record)
  local reply, f = update_request(epoch, hash, version, 'ended', record)
  if f then
    leave_active(hash, f.acc)
    drop_grant(sess, hash)
  end
  return reply
end

-- Lists requests, newest first. acc: digest of the account or ''. open: `open` or ''. from: place before which to begin
-- or ''. MORE: the caller may continue from the returned place. Each comes with its digest, its place, `is_left_open`.
local function list_requests(acc, open, from, most)
  local name
  if open == 'open' then name = acc == '' and access_index('open') or open_of(acc)
  else name = acc == '' and access_index('all') or requests_of(acc) end
  local top = from == '' and '+inf' or '(' .. from
  local batch = redis.call('ZREVRANGEBYSCORE', name, top, '-inf', 'WITHSCORES', 'LIMIT', 0, 200)
  local found, last, more = {}, '', #batch == 400
  for i = 1, #batch, 2 do
    last = batch[i + 1]
    local f = request_at(batch[i])
    if f then
      found[#found + 1] = {batch[i], shown_request(f), last, is_left_open(f)}
      if #found == tonumber(most) then
        more = more or i + 1 < #batch
        break
      end
    else
      forget_request(batch[i])
      redis.call('ZREM', name, batch[i])
    end
  end
  return {more and 'MORE' or 'OK', last, found}
end

-- Returns the time (ms) and a page of the grants that are not ended, oldest first: digest, fields, whether the session
-- is active; and the place of the last of them, where there may be more. after: place after which to begin or ''.
local function active_grants(after, most)
  local from = after == '' and '-inf' or '(' .. after
  local batch = redis.call('ZRANGEBYSCORE', access_index('active'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  local found, more = {}, #batch == 2 * tonumber(most)
  for i = 1, #batch, 2 do
    local f = request_at(batch[i])
    if f then found[#found + 1] = {batch[i], shown_request(f), session_alone(f.sess) and 1 or 0}
    else forget_request(batch[i]) end
  end
  return {'OK', served, more and batch[#batch] or '', found}
end

-- hash: digest of the grant. It passes when Redis is full.
local function claim_ending(hash, holder, till, ttl)
  return claim(P .. 'access-ending:' .. hash, holder, till, ttl)
end
