/** The scripts of re-encryption. */
import { script } from './head.ts';
import { DELEGATED } from './parts.ts';

/**
 * Claims the re-encryption: one replica at a time looks for values that an older key sealed. ARGV from 6: holder,
 * until when it holds (ms), the current key, the oldest check that is recent enough (ms), TTL for cleaning up (s).
 * DONE: a replica with the same key has checked and found nothing.
 */
export const claimReencryption = script(
  'claim-reseal',
  `
local holder, till, kid, since, ttl = unpack(ARGV, 6)
local key = P .. 'reseal'
local f = redis.call('HMGET', key, 'holder', 'until', 'kid', 'at')
if f[3] == kid and tonumber(f[4]) >= tonumber(since) then return {'DONE'} end
if f[1] and f[1] ~= holder and tonumber(f[2]) > now then return {'BUSY'} end
redis.call('HSET', key, 'holder', holder, 'until', till)
redis.call('EXPIRE', key, ttl)
return {'OK'}
`,
  { stores: true },
);

/**
 * Ends a claim, if the caller holds it. ARGV from 6: holder, the key for which nothing was left to re-encrypt or
 * '', TTL for cleaning up (s).
 */
export const endReencryption = script(
  'end-reseal',
  `
local holder, kid, ttl = unpack(ARGV, 6)
local key = P .. 'reseal'
if redis.call('HGET', key, 'holder') ~= holder then return {'OK'} end
redis.call('HDEL', key, 'holder', 'until')
if kid ~= '' then redis.call('HSET', key, 'kid', kid, 'at', now) end
redis.call('EXPIRE', key, ttl)
return {'OK'}
`,
  { stores: true },
);

/**
 * Finds values of some sessions that another key than the current one sealed: their records, secrets and grants, their
 * artefacts, their recent requests. ARGV from 6: score of the session after which to begin or '', how many
 * sessions, the beginning of values that the current key sealed.
 *
 * Returns the score of the last session or '', then key, field and value of each; then the stream, id and value of
 * each entry, all of them if one must be re-encrypted.
 */
export const findSealed = script(
  'find-sealed',
  `
local after, most, mark = unpack(ARGV, 6)
local values, entries, last = {}, {}, ''
local function is_old(value) return value and string.sub(value, 1, #mark) ~= mark end
local function look(key, field, value)
  if not is_old(value) then return end
  values[#values + 1] = key
  values[#values + 1] = field
  values[#values + 1] = value
end
local function has_old(grants)
  for sealed in string.gmatch(grants or '', '%S+ %d+ (%S+)\\n') do
    if is_old(sealed) then return true end
  end
end
local from = after == '' and '-inf' or '(' .. after
local page = redis.call('ZRANGEBYSCORE', P .. 'sessions', from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #page, 2 do
  last = page[i + 1]
  local key = P .. 'session:' .. page[i]
  local f = redis.call('HMGET', key, 'ep', 'r', 'x', 'd', 'gr')
  if f[1] == id or f[1] == id .. '${DELEGATED}' then
    look(key, 'r', f[2])
    look(key, 'x', f[3])
    look(key, 'd', f[4])
    if has_old(f[5]) then look(key, 'gr', f[5]) end
    for _, artefact in ipairs(redis.call('SMEMBERS', P .. 'of:' .. page[i])) do
      look(artefact, 'p', redis.call('HGET', artefact, 'p'))
    end
    local recent = P .. 'recent:' .. page[i]
    local stream, old = redis.call('XRANGE', recent, '-', '+', 'COUNT', 100), false
    for _, entry in ipairs(stream) do old = old or is_old(entry[2][2]) end
    for _, entry in ipairs(old and stream or {}) do
      entries[#entries + 1] = recent
      entries[#entries + 1] = entry[1]
      entries[#entries + 1] = entry[2][2]
    end
  end
end
return {'OK', last, values, entries}
`,
);

/** Does the same for access requests. ARGV from 6: place after which to begin or '', how many, the beginning as above. */
export const findSealedRequests = script(
  'find-sealed-access',
  `
local after, most, mark = unpack(ARGV, 6)
local values, last = {}, ''
local from = after == '' and '-inf' or '(' .. after
local page = redis.call('ZRANGEBYSCORE', P .. 'access-all:' .. id, from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #page, 2 do
  last = page[i + 1]
  local key = P .. 'access:' .. page[i]
  local f = redis.call('HMGET', key, 'ep', 'r')
  if f[1] == id and f[2] and string.sub(f[2], 1, #mark) ~= mark then
    values[#values + 1] = key
    values[#values + 1] = 'r'
    values[#values + 1] = f[2]
  end
end
return {'OK', last, values, {}}
`,
);

/**
 * Replaces each value if it is still the one that was read. ARGV from 6: key, field, the value that was read, the
 * re-encrypted one, and so on. Returns how many were replaced.
 */
export const replaceValues = script(
  'reseal-values',
  `
local put = 0
for i = 6, #ARGV, 4 do
  if redis.call('HGET', ARGV[i], ARGV[i + 1]) == ARGV[i + 2] then
    redis.call('HSET', ARGV[i], ARGV[i + 1], ARGV[i + 3])
    put = put + 1
  end
end
return {'OK', put}
`,
  { stores: true },
);

/**
 * Does the same for a whole stream, whose entries cannot be changed. ARGV from 6: stream, then id, the value that
 * was read, the new one, and so on.
 */
export const replaceStream = script(
  'reseal-stream',
  `
local key = ARGV[6]
local stream = redis.call('XRANGE', key, '-', '+', 'COUNT', 100)
if #stream * 3 ~= #ARGV - 6 then return {'OK', 0} end
for i, entry in ipairs(stream) do
  local at = 7 + (i - 1) * 3
  if entry[1] ~= ARGV[at] or entry[2][2] ~= ARGV[at + 1] then return {'OK', 0} end
end
local ttl = redis.call('TTL', key)
redis.call('DEL', key)
for i = 7, #ARGV, 3 do redis.call('XADD', key, ARGV[i], 'e', ARGV[i + 2]) end
if ttl > 0 then redis.call('EXPIRE', key, ttl) end
return {'OK', #stream}
`,
  { stores: true },
);
