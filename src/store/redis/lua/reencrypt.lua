-- Re-encryption: finds and replaces values that an older key sealed.

-- Claims it: one replica at a time looks. till: until when it holds (ms). kid: the current key. since: the oldest check
-- that is recent enough (ms). ttl: for cleaning up (s). DONE: a replica with the same key has checked and found
-- nothing.
local function claim_reencryption(holder, till, kid, since, ttl)
  local key = P .. 'reseal'
  local f = fields(key, {'kid', 'at'})
  if f.kid == kid and tonumber(f.at) >= tonumber(since) then return {'DONE'} end
  return claim(key, holder, till, ttl)[2] == 1 and {'OK'} or {'BUSY'}
end

-- Ends a claim, if the caller holds it. kid: the key for which nothing was left to re-encrypt or ''. ttl: for cleaning
-- up (s).
local function end_reencryption(holder, kid, ttl)
  local key = P .. 'reseal'
  if redis.call('HGET', key, 'holder') ~= holder then return {'OK'} end
  redis.call('HDEL', key, 'holder', 'until')
  if kid ~= '' then redis.call('HSET', key, 'kid', kid, 'at', now) end
  redis.call('EXPIRE', key, ttl)
  return {'OK'}
end

-- Returns a page of an index, member and score in turns, and the score of the last one or ''.
local function page_after(index, after, most)
  local from = after == '' and '-inf' or '(' .. after
  local page = redis.call('ZRANGEBYSCORE', index, from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  return page, page[#page] or ''
end

-- mark: the beginning of values that the current key sealed.
local function is_old(value, mark)
  return value and string.sub(value, 1, #mark) ~= mark
end

-- Adds a value to those that were found, if an older key sealed it.
local function find_old(values, mark, key, field, value)
  if not is_old(value, mark) then return end
  values[#values + 1] = key
  values[#values + 1] = field
  values[#values + 1] = value
end

-- gr: grants of a session.
local function has_old(gr, mark)
  for sealed in string.gmatch(gr or '', '%S+ %d+ (%S+)\n') do
    if is_old(sealed, mark) then return true end
  end
end

-- Finds values of some sessions that another key than the current one sealed: their records, secrets and grants, their
-- artefacts, their recent requests. after: score of the session after which to begin or ''. most: how many sessions.
--
-- Returns the score of the last session or '', then key, field and value of each; then the stream, id and value of
-- each entry, all of them if one must be re-encrypted.
local function find_sealed(after, most, mark)
  local values, entries = {}, {}
  local page, last = page_after(P .. 'sessions', after, most)
  for i = 1, #page, 2 do
    local key = P .. 'session:' .. page[i]
    local f = fields(key, {'ep', 'r', 'x', 'd', 'gr'})
    if f.ep == id or f.ep == id .. DELEGATED then
      find_old(values, mark, key, 'r', f.r)
      find_old(values, mark, key, 'x', f.x)
      find_old(values, mark, key, 'd', f.d)
      if has_old(f.gr, mark) then find_old(values, mark, key, 'gr', f.gr) end
      for _, artefact in ipairs(redis.call('SMEMBERS', P .. 'of:' .. page[i])) do
        find_old(values, mark, artefact, 'p', redis.call('HGET', artefact, 'p'))
      end
      local recent = P .. 'recent:' .. page[i]
      local stream, old = redis.call('XRANGE', recent, '-', '+', 'COUNT', 100), false
      for _, entry in ipairs(stream) do old = old or is_old(entry_fields(entry).e, mark) end
      for _, entry in ipairs(old and stream or {}) do
        entries[#entries + 1] = recent
        entries[#entries + 1] = entry[1]
        entries[#entries + 1] = entry_fields(entry).e or ''
      end
    end
  end
  return {'OK', last, values, entries}
end

-- Does the same for access requests. after: place after which to begin or ''.
local function find_sealed_requests(after, most, mark)
  local values = {}
  local page, last = page_after(P .. 'access-all:' .. id, after, most)
  for i = 1, #page, 2 do
    local key = P .. 'access:' .. page[i]
    local f = fields(key, {'ep', 'r'})
    if f.ep == id then find_old(values, mark, key, 'r', f.r) end
  end
  return {'OK', last, values, {}}
end

-- Replaces each value if it is still the one that was read. more: key, field, the value that was read, the re-encrypted
-- one, and so on. Returns how many were replaced.
local function replace_values(more)
  local put = 0
  for i = 1, #more, 4 do
    if redis.call('HGET', more[i], more[i + 1]) == more[i + 2] then
      redis.call('HSET', more[i], more[i + 1], more[i + 3])
      put = put + 1
    end
  end
  return {'OK', put}
end

-- Does the same for a whole stream, whose entries cannot be changed. more: id, the value that was read, the new one,
-- and so on.
local function replace_stream(key, more)
  local stream = redis.call('XRANGE', key, '-', '+', 'COUNT', 100)
  if #stream * 3 ~= #more then return {'OK', 0} end
  for i, entry in ipairs(stream) do
    local first = 1 + (i - 1) * 3
    if entry[1] ~= more[first] or entry_fields(entry).e ~= more[first + 1] then return {'OK', 0} end
  end
  local ttl = redis.call('TTL', key)
  redis.call('DEL', key)
  for i = 1, #more, 3 do redis.call('XADD', key, more[i], 'e', more[i + 2]) end
  if ttl > 0 then redis.call('EXPIRE', key, ttl) end
  return {'OK', #stream}
end
