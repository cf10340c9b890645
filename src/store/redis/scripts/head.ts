import { createHash } from 'node:crypto';

/** A Lua script with the hash by which Redis remembers it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

/**
 * Head of every script (REVOCATION.md, rules 1 and 2 of the head). A script that gets past it may trust `id`, `n` and `h`.
 *
 * KEYS[1] is the hash tag with a colon; all other keys are derived from it. ARGV: 1 now (ms), 2–4 the caller's epoch, number and
 * chain hash, from 5 on the script's own. Every answer is an array whose first element says how it went.
 *
 * The shebang makes Redis refuse the script on a follower as a whole, reads included (nothing is ever read from a follower).
 */
const HEAD = `
local P = KEYS[1]
local now = tonumber(ARGV[1])
local seconds = math.floor(now / 1000)

-- Rule 1: an epoch that is missing, or that another server process wrote, is over. REGIME, and nothing is written.
-- A node that was restarted, restored, emptied or promoted may have forgotten a revocation.
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid', 'n', 'h')
local rid = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not E[1] or not E[3] or E[2] ~= rid then return {'REGIME', E[1] or '', E[2] or ''} end
local id, n, h = E[1], tonumber(E[3]), E[4]

-- Rule 2: ROLLBACK, the log is behind the caller or tells another story; gap, entries after the caller's were trimmed.
local mine = tonumber(ARGV[3])
local gap = false
if ARGV[2] == id then
  if mine > n then return {'ROLLBACK', id, rid} end
  local there = h
  if mine < n then
    local first = redis.call('XRANGE', P .. 'log', '-', '+', 'COUNT', 1)[1]
    if not first then return {'ROLLBACK', id, rid} end
    local oldest = tonumber(string.match(first[1], '^%d+'))
    gap = mine < oldest and not (mine == 0 and oldest == 1)
    there = ARGV[4]
    if mine >= oldest then
      local entry = redis.call('XRANGE', P .. 'log', mine .. '-0', mine .. '-0')[1]
      if not entry then return {'ROLLBACK', id, rid} end
      there = entry[2][2]
    end
  end
  if ARGV[4] ~= '' and ARGV[4] ~= there then return {'ROLLBACK', id, rid} end
end
`;

/** Drops an artefact together with the names that lead to it. */
export const ARTEFACTS = `
local function drop_artefact(key)
  local f = redis.call('HMGET', key, 'uid', 'code', 'of')
  for i = 1, 2 do
    if f[i] and redis.call('GET', f[i]) == key then redis.call('DEL', f[i]) end
  end
  if f[3] then redis.call('SREM', f[3], key) end
  redis.call('DEL', key)
end

-- Written in an earlier epoch or past its time: as if it were not there. The server's own TTL only cleans up.
local function live_artefact(key)
  local f = redis.call('HMGET', key, 'ep', 'exp', 'p', 'c')
  if f[1] ~= id or tonumber(f[2]) <= now then return nil end
  return f
end

local function drop_artefacts_of(set)
  for _, key in ipairs(redis.call('SMEMBERS', set)) do drop_artefact(key) end
  redis.call('DEL', set)
end
`;

/** Judges and ends sessions. `hash` is a session id's digest. */
export const SESSIONS = `
local FIELDS = {'ep', 'acc', 'prov', 'sn', 'exp', 'idle', 'lu', 'v', 'tp', 'r', 'x', 'seq'}

-- Watermarks of account, provider and all must be at most the number at which the sign-in STARTED.
local function covered(acc, prov, started)
  local marks = redis.call('HMGET', P .. 'wm', 'account:' .. acc, 'provider:' .. prov, 'all')
  for i = 1, 3 do
    if marks[i] and tonumber(marks[i]) > started then return true end
  end
  return false
end

-- The fields of a good session, or nil and why not.
local function session(hash)
  local f = redis.call('HMGET', P .. 'session:' .. hash, unpack(FIELDS))
  if not f[1] then return nil, 'session_unknown' end
  if f[1] ~= id then return nil, 'epoch_changed' end
  if covered(f[2], f[3], tonumber(f[4])) then return nil, 'session_revoked' end
  if seconds >= tonumber(f[5]) or seconds >= tonumber(f[7]) + tonumber(f[6]) then return nil, 'session_expired' end
  for i = 1, #FIELDS do f[i] = f[i] or '' end
  return f
end

-- A session goes with its artefacts and its places in every index.
local function end_session(hash)
  local key = P .. 'session:' .. hash
  local f = redis.call('HMGET', key, 'acc', 'prov')
  drop_artefacts_of(P .. 'of:' .. hash)
  redis.call('DEL', key, P .. 'recheck:' .. hash)
  redis.call('ZREM', P .. 'sessions', hash)
  redis.call('ZREM', P .. 'ends', hash)
  if f[1] then
    redis.call('ZREM', P .. 'account:' .. f[1], hash)
    redis.call('ZREM', P .. 'ends:' .. f[2], hash)
  end
end

-- Revoke, rule 2, "else later": ends a bounded batch of what the revocation of a provider or of all has covered.
local function sweep_batch(key, size)
  local batch = redis.call('ZPOPMIN', key, size)
  for i = 1, #batch, 2 do end_session(batch[i]) end
  if redis.call('EXISTS', key) == 0 then redis.call('SREM', P .. 'sweeps', key) end
end
`;

/** Writes the log and reads the registry. */
export const LOG = `
-- Numbers have no gaps and every entry's hash covers all before it, so that a log that forgot or changed one is seen (ROLLBACK).
-- SHA-1 is what Lua has here; it finds accidents, and nobody who can write to Redis would need to forge it.
local function append_entry(till, sealed, revokes, longest)
  n = n + 1
  h = redis.sha1hex(h .. ' ' .. n .. ' ' .. till .. ' ' .. sealed)
  redis.call('HSET', P .. 'epoch', 'n', n, 'h', h)
  redis.call('XADD', P .. 'log', n .. '-0', 'h', h, 'u', till, 't', sealed)
  if revokes then redis.call('ZADD', P .. 'idx', till, n .. ' ' .. till .. ' ' .. sealed) end
  redis.call('ZREMRANGEBYSCORE', P .. 'idx', '-inf', seconds)
  -- Cut from the front what is over. An entry waits until the next one is over too: whoever renewed before that one was written
  -- still has its place here, and is not sent away by the first revocation after a quiet time. The last entry always stays.
  local front = redis.call('XRANGE', P .. 'log', '-', '+', 'COUNT', 20)
  for i = 1, #front - 1 do
    local over = tonumber(front[i][2][4]) <= seconds and tonumber(front[i + 1][2][4]) <= seconds
    if not over and redis.call('XLEN', P .. 'log') <= tonumber(longest) then break end
    redis.call('XDEL', P .. 'log', front[i][1])
  end
  redis.call('PUBLISH', P .. 'news', n)
end

local function registry()
  local states = {}
  local flat = redis.call('HGETALL', P .. 'live')
  for i = 2, #flat, 2 do states[#states + 1] = flat[i] end
  return states
end
`;

interface ScriptParts {
  /** What stands between head and body. */
  readonly with?: readonly string[];
  /**
   * True where it stores something new. Such a script is refused as a whole when Redis is full, while a revocation, a renewal or
   * a deletion must pass even then.
   */
  readonly stores?: boolean;
}

const finish = (name: string, lua: string): Script => ({
  name,
  lua,
  sha: createHash('sha1').update(lua).digest('hex'),
});

export function script(name: string, body: string, parts: ScriptParts = {}): Script {
  const shebang = parts.stores === true ? '#!lua' : '#!lua flags=allow-oom';
  return finish(name, [shebang, HEAD, ...(parts.with ?? []), body].join('\n'));
}

/**
 * NEW-EPOCH (REVOCATION.md, rule 3 of the head): compare-and-set on what was seen, so that of many replicas that saw the same
 * end exactly one begins the new life. Sessions and artefacts carry their epoch and are dead with it; TTLs remove them.
 * ARGV: 1 id seen, 2 run id seen, 3 new id (128 random bits).
 */
export const newEpoch = finish(
  'new-epoch',
  `#!lua flags=allow-oom
local P = KEYS[1]
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid')
if (E[1] or '') ~= ARGV[1] or (E[2] or '') ~= ARGV[2] then return {'OK'} end
for _, prov in ipairs(redis.call('SMEMBERS', P .. 'providers')) do redis.call('UNLINK', P .. 'ends:' .. prov) end
for _, key in ipairs(redis.call('SMEMBERS', P .. 'sweeps')) do redis.call('UNLINK', key) end
for _, name in ipairs({'epoch', 'log', 'idx', 'wm', 'wm:until', 'live', 'sessions', 'ends', 'providers', 'seq', 'sweeps'}) do
  redis.call('UNLINK', P .. name)
end
local rid = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
redis.call('HSET', P .. 'epoch', 'id', ARGV[3], 'rid', rid, 'n', 0, 'h', ARGV[3])
redis.call('PUBLISH', P .. 'news', 0)
return {'OK'}
`,
);
