/**
 * The head that every Lua script of the Redis store begins with (epoch, rollback and clock checks), and the functions
 * that build a script.
 */
import { createHash } from 'node:crypto';

/** A Lua script with the hash by which Redis identifies it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

/**
 * Lua that sets `rid` to the primary generation: the server process and its replication history, which changes
 * with each promotion. It also changes when the first follower attaches (`redis-cli --rdb` is one), and when all
 * have been gone for `repl-backlog-ttl`: one epoch too many, and never one too few.
 *
 * A primary that was demoted and promoted again unnoticed is the same process, and may have adopted a history that
 * forgot a revocation (test/model/primary-generation.pml, REPROMOTION), so the history is part of it.
 *
 * The reply is UNIDENTIFIED where the server does not report both, or only zeros in place of one: a restart that
 * forgot a revocation would go unnoticed there.
 */
export const PRIMARY_GENERATION = `local about = redis.call('INFO', 'server', 'replication')
local run_id = string.match(about, 'run_id:(0*[1-9a-f]%x*)')
local replid = string.match(about, 'master_replid:(0*[1-9a-f]%x*)')
if not run_id or not replid then return {'UNIDENTIFIED'} end
local rid = run_id .. '.' .. replid`;

/**
 * The head of every script (docs/revocation-protocol.md#head-1 and #head-2). A script that gets past it may trust
 * `id`, `n` and `h`; `rid` is the primary generation.
 *
 * KEYS[1] is the hash tag with a colon; all other keys are derived from it. ARGV: 1 now (ms), 2–4 the caller's
 * epoch, number and chain hash, 5 the largest allowed clock difference (ms), from 6 on the script's own. Every
 * reply is an array whose first element is its tag.
 *
 * The shebang makes Redis reject the script on a follower as a whole, reads included (nothing is ever read from a
 * follower).
 */
const HEAD = `
local P = KEYS[1]
local now = tonumber(ARGV[1])
local seconds = math.floor(now / 1000)

-- No script serves a replica whose clock is off. No clock decides about order, but expired entries are removed by
-- the caller's time, and a clock that is an hour fast would remove an entry while a token that it covers is still
-- valid.
-- test seam: STORE_TIME
local at = redis.call('TIME')
-- safeguard: CLOCK
if math.abs(now - tonumber(at[1]) * 1000) > tonumber(ARGV[5]) then return {'CLOCK'} end

-- docs/revocation-protocol.md#head-1: an epoch that is missing, or that another server process wrote, is over. The
-- reply is REGIME, and nothing is written. A node that was restarted, restored, emptied or promoted may have lost
-- a revocation.
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid', 'n', 'h', 'settled')
${PRIMARY_GENERATION}
-- safeguard: RUN_ID
local of_another_process = E[2] ~= rid
if not E[1] or not E[3] or of_another_process then return {'REGIME', E[1] or '', E[2] or '', rid} end
local id, n, h = E[1], tonumber(E[3]), E[4]
-- safeguard: SETTLED
local settled = E[5] == '1'

-- docs/revocation-protocol.md#head-2: ROLLBACK means that the log is behind the caller or contradicts it; gap
-- means that entries after the caller's were trimmed.
local mine = tonumber(ARGV[3])
local gap = false
if ARGV[2] == id then
  if mine > n then return {'ROLLBACK', id, rid, rid} end
  local there = h
  if mine < n then
    local first = redis.call('XRANGE', P .. 'log', '-', '+', 'COUNT', 1)[1]
    if not first then return {'ROLLBACK', id, rid, rid} end
    local oldest = tonumber(string.match(first[1], '^%d+'))
    gap = mine < oldest and not (mine == 0 and oldest == 1)
    there = ARGV[4]
    if mine >= oldest then
      local entry = redis.call('XRANGE', P .. 'log', mine .. '-0', mine .. '-0')[1]
      if not entry then return {'ROLLBACK', id, rid, rid} end
      there = entry[2][2]
    end
  end
  if ARGV[4] ~= '' and ARGV[4] ~= there then return {'ROLLBACK', id, rid, rid} end
end
`;

interface ScriptParts {
  /** Lua between head and body. */
  readonly with?: readonly string[];
  /**
   * True if the script stores something new. Redis rejects such a script as a whole when it is full, while a
   * revocation, a renewal or a deletion must pass even then.
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

/** Builds a script without the head: it creates what the head requires, or does not depend on it. */
export const headless = (name: string, body: string, { stores = false }: ScriptParts = {}): Script =>
  finish(name, `${stores ? '#!lua' : '#!lua flags=allow-oom'}\n${body}`);
