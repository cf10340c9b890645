import { createHash } from 'node:crypto';

/** A Lua script with the hash by which Redis remembers it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

/**
 * What tells one regime from another: the server process, and the history of writes that it stands in, which is another one after each
 * promotion. Also when the first follower attaches (`redis-cli --rdb` is one), and when all have been gone for `repl-backlog-ttl`: a new epoch
 * too many, and never one too few. Threat: a primary that was demoted and promoted again before anybody looked is the same process, and may have taken over a
 * history that forgot a revocation (test/model/regime.pml, REPROMOTION).
 */
export const REGIME = `local about = redis.call('INFO', 'server', 'replication')
local rid = string.match(about, 'run_id:(%x+)') .. '.' .. string.match(about, 'master_replid:(%x+)')`;

/**
 * Head of every script (docs/revocation-protocol.md#head-1 and #head-2). A script that gets past it may trust `id`, `n` and `h`; `rid` names the
 * regime.
 *
 * KEYS[1] is the hash tag with a colon; all other keys are derived from it. ARGV: 1 now (ms), 2–4 the caller's epoch, number and
 * chain hash, 5 by how much its clock may be off (ms), from 6 on the script's own. Every answer is an array whose first element says how it went.
 *
 * The shebang makes Redis refuse the script on a follower as a whole, reads included (nothing is ever read from a follower).
 */
const HEAD = `
local P = KEYS[1]
local now = tonumber(ARGV[1])
local seconds = math.floor(now / 1000)

-- A replica whose clock is off is served by no script. No clock decides about order; but what is over is cleaned up by the caller's time, and
-- an hour ahead is early enough for an entry to go while a token that it covers lives.
local at = redis.call('TIME')
-- safeguard: CLOCK
if math.abs(now - tonumber(at[1]) * 1000) > tonumber(ARGV[5]) then return {'CLOCK'} end

-- docs/revocation-protocol.md#head-1: an epoch that is missing, or that another server process wrote, is over. REGIME, and nothing is written.
-- A node that was restarted, restored, emptied or promoted may have forgotten a revocation.
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid', 'n', 'h', 'settled')
${REGIME}
-- safeguard: RUN_ID
local of_another_process = E[2] ~= rid
if not E[1] or not E[3] or of_another_process then return {'REGIME', E[1] or '', E[2] or '', rid} end
local id, n, h = E[1], tonumber(E[3]), E[4]
-- safeguard: SETTLED
local settled = E[5] == '1'

-- docs/revocation-protocol.md#head-2: ROLLBACK, the log is behind the caller or tells another story; gap, entries after the caller's were trimmed.
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

/** A script without the head: it makes what the head asks for, or has nothing to do with it. */
export const headless = (name: string, body: string, { stores = false }: ScriptParts = {}): Script =>
  finish(name, `${stores ? '#!lua' : '#!lua flags=allow-oom'}\n${body}`);
