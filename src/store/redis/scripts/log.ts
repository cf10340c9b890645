import { ARTEFACTS, LOG, script, SESSIONS } from './head.ts';

export const position = script('position', `return {'OK', id, n, h}`);

/** Join: the number first, then the live entries (REVOCATION.md, Join); in one script nothing can come between. */
export const join = script(
  'join',
  `return {'OK', id, n, h, redis.call('ZRANGEBYSCORE', P .. 'idx', '(' .. seconds, '+inf')}`,
);

/**
 * Renew: head; my state into \`live\`; all entries after my number, the epoch, the registry. One script, so that a fresh lease
 * means a fresh view. ARGV 5: incarnation, 6: state (JSON).
 */
export const renew = script(
  'renew',
  `
-- Rule 2, EPOCH and GAP: nothing of mine is written there.
if ARGV[2] ~= id then return {'EPOCH'} end
if gap then return {'GAP'} end
redis.call('HSET', P .. 'live', ARGV[5], ARGV[6])
return {'OK', redis.call('XRANGE', P .. 'log', (mine + 1) .. '-0', '+'), registry()}
`,
  { with: [LOG] },
);

/** ARGV 5: incarnation. */
export const leave = script('leave', `redis.call('HDEL', P .. 'live', ARGV[5]) return {'OK'}`);

/**
 * Revoke, rule 2: idempotent by request id; n+1; log, idx, watermark; what the target covers is deleted here when it is a session
 * or an account, and handed to the sweep (below) when it may be many.
 *
 * ARGV from 5: request digest, digest of the target, kind, its name (session or account digest, provider, or ''), until (s), sealed
 * entry, longest log, until when the answer is kept (ms), its TTL (s), until when an account's watermark is kept (ms), batch of the
 * sweep.
 */
export const append = script(
  'append',
  `
local request, target, kind, name, till, sealed, longest, kept, ttl, mark_kept, batch = unpack(ARGV, 5)
local answer = P .. 'request:' .. request
local known = redis.call('HMGET', answer, 'ep', 'until', 'target', 'n', 'sessions')
if known[1] == id and tonumber(known[2]) > now then
  if known[3] ~= target then return {'REUSED'} end
  return {'OK', id, tonumber(known[4]), tonumber(known[5]), registry()}
end

append_entry(till, sealed, true, longest)

-- Rule Mint: a session or sign-in that started below the watermark of its account, its provider or of all is refused.
if kind ~= 'session' then
  local mark = kind == 'all' and 'all' or kind .. ':' .. name
  redis.call('HSET', P .. 'wm', mark, n)
  if kind == 'account' then redis.call('ZADD', P .. 'wm:until', mark_kept, mark) end
end
for _, mark in ipairs(redis.call('ZRANGEBYSCORE', P .. 'wm:until', '-inf', now, 'LIMIT', 0, 20)) do
  redis.call('HDEL', P .. 'wm', mark)
  redis.call('ZREM', P .. 'wm:until', mark)
end

local ended = 0
local function finish(hash)
  local f = redis.call('HMGET', P .. 'session:' .. hash, 'ep', 'exp', 'idle', 'lu')
  if f[1] == id and seconds < tonumber(f[2]) and seconds < tonumber(f[4]) + tonumber(f[3]) then ended = ended + 1 end
  end_session(hash)
end
if kind == 'session' then
  finish(name)
elseif kind == 'account' then
  for _, hash in ipairs(redis.call('ZRANGE', P .. 'account:' .. name, 0, -1)) do finish(hash) end
  redis.call('DEL', P .. 'account:' .. name)
else
  local ends = kind == 'all' and P .. 'ends' or P .. 'ends:' .. name
  ended = redis.call('ZCOUNT', ends, '(' .. seconds, '+inf')
  if redis.call('EXISTS', ends) == 1 then
    local key = P .. 'sweep:' .. n
    redis.call('RENAME', ends, key)
    redis.call('SADD', P .. 'sweeps', key)
    sweep_batch(key, tonumber(batch))
  end
end

redis.call('HSET', answer, 'ep', id, 'until', kept, 'target', target, 'n', n, 'sessions', ended)
redis.call('EXPIRE', answer, ttl)
return {'OK', id, n, ended, registry()}
`,
  { with: [ARTEFACTS, SESSIONS, LOG] },
);

/** Goes on with a sweep. ARGV 5: batch. 1: there is more. */
export const sweep = script(
  'sweep',
  `
local key = redis.call('SRANDMEMBER', P .. 'sweeps')
if key then sweep_batch(key, tonumber(ARGV[5])) end
return {'OK', redis.call('EXISTS', P .. 'sweeps')}
`,
  { with: [ARTEFACTS, SESSIONS] },
);
