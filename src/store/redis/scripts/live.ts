/** The scripts of the live audit log. */
import { SUBSCRIPTION_NEWS } from '../news.ts';
import { headless } from './head.ts';

/**
 * The live audit log is independent of epochs: a fenced replica also shows what it rejects. ARGV 1 to 5 are the
 * head's and ignored.
 */
const NOW = `local P = KEYS[1]
local at = redis.call('TIME')
local now = tonumber(at[1]) * 1000 + math.floor(tonumber(at[2]) / 1000)`;

/**
 * Subscribes. ARGV 6: tail, 7: digest of its filter, 8: sealed filter, 9: for how long it is valid (ms), 10: the
 * most tails, 11: the most entries, 12: TTL of both keys (s). Returns FULL, or OK with the position from which
 * events are shown, '' if it was valid already.
 */
export const subscribeLive = headless(
  'want-live',
  `${NOW}
local others, stands = 0, false
local all = redis.call('HGETALL', P .. 'tails')
for i = 1, #all, 2 do
  local till, filter = string.match(all[i + 1], '^(%d+) (%S+)')
  if not till or tonumber(till) <= now then redis.call('HDEL', P .. 'tails', all[i])
  elseif all[i] ~= ARGV[6] then others = others + 1
  else stands = filter == ARGV[7] end
end
if others >= tonumber(ARGV[10]) then return {'FULL'} end
local till = string.format('%.0f', now + tonumber(ARGV[9]))
redis.call('HSET', P .. 'tails', ARGV[6], till .. ' ' .. ARGV[7] .. ' ' .. ARGV[8])
redis.call('EXPIRE', P .. 'tails', ARGV[12])
redis.call('EXPIRE', P .. 'taken:' .. ARGV[6], ARGV[12])
local place = ''
if not stands then
  place = redis.call('XADD', P .. 'record', 'MAXLEN', '~', ARGV[11], '*', 'm', '1')
  redis.call('DEL', P .. 'taken:' .. ARGV[6])
  redis.call('PUBLISH', P .. 'news', '${SUBSCRIPTION_NEWS}')
end
redis.call('EXPIRE', P .. 'record', ARGV[12])
return {'OK', place}
`,
  { stores: true },
);

/** ARGV 6: tail. */
export const unsubscribeLive = headless(
  'leave-live',
  `redis.call('DEL', KEYS[1] .. 'taken:' .. ARGV[6])
return {'OK', redis.call('HDEL', KEYS[1] .. 'tails', ARGV[6])}`,
);

/**
 * ARGV 6: incarnation. Returns of each subscription the tail, the digest of its filter, the sealed filter, and '1'
 * if this replica has accepted it.
 */
export const subscriptionsLive = headless(
  'wanted-live',
  `${NOW}
local wanted = {'OK'}
local all = redis.call('HGETALL', P .. 'tails')
for i = 1, #all, 2 do
  local till, filter, sealed = string.match(all[i + 1], '^(%d+) (%S+) (%S+)')
  if till and tonumber(till) > now then
    local taken = redis.call('SISMEMBER', P .. 'taken:' .. all[i], ARGV[6] .. ' ' .. filter)
    wanted[#wanted + 1] = {all[i], filter, sealed, tostring(taken)}
  end
end
return wanted
`,
);

/** ARGV 6: incarnation, then of each subscription the tail and the digest of its filter, with a blank between them. */
export const acceptLive = headless(
  'take-up-live',
  `local P = KEYS[1]
for i = 7, #ARGV do
  local tail, filter = string.match(ARGV[i], '^(%S+) (%S+)$')
  local stands = tail and redis.call('HGET', P .. 'tails', tail)
  if stands and string.match(stands, '^%d+ (%S+)') == filter then
    redis.call('SADD', P .. 'taken:' .. tail, ARGV[6] .. ' ' .. filter)
    redis.call('EXPIRE', P .. 'taken:' .. tail, redis.call('TTL', P .. 'tails'))
  end
end
return {'OK'}
`,
  { stores: true },
);

/** ARGV 6: tail. Returns 1 if every registered replica has accepted its subscription. */
export const isAcceptedLive = headless(
  'is-taken-up-live',
  `local P = KEYS[1]
local stands = redis.call('HGET', P .. 'tails', ARGV[6])
local filter = stands and string.match(stands, '^%d+ (%S+)')
if not filter then return {'OK', 0} end
-- Not HKEYS, so that the permissions that operators have granted suffice.
local replicas = redis.call('HGETALL', P .. 'live')
for i = 1, #replicas, 2 do
  if redis.call('SISMEMBER', P .. 'taken:' .. ARGV[6], replicas[i] .. ' ' .. filter) == 0 then return {'OK', 0} end
end
return {'OK', 1}
`,
);

/**
 * ARGV 6: the most entries, 7: TTL (s), then each sealed text. Full memory rejects it as a whole: this is the
 * first thing to give up.
 */
export const publishLive = headless(
  'publish-live',
  `local P = KEYS[1]
if redis.call('EXISTS', P .. 'tails') == 0 then return {'OK'} end
for i = 8, #ARGV do redis.call('XADD', P .. 'record', 'MAXLEN', '~', ARGV[6], '*', 'e', ARGV[i]) end
redis.call('EXPIRE', P .. 'record', ARGV[7])
return {'OK'}
`,
  { stores: true },
);

/**
 * ARGV 6: position, 7: limit. Returns whether the position exists; then each position and sealed text, '' for a
 * mark.
 */
export const readLive = headless(
  'read-live',
  `local P = KEYS[1]
local found = {'OK', #redis.call('XRANGE', P .. 'record', ARGV[6], ARGV[6])}
for _, entry in ipairs(redis.call('XRANGE', P .. 'record', '(' .. ARGV[6], '+', 'COUNT', ARGV[7])) do
  found[#found + 1] = entry[1]
  found[#found + 1] = entry[2][1] == 'e' and entry[2][2] or ''
end
return found
`,
);
