import { createHash } from 'node:crypto';

/** A Lua script with the hash by which Redis remembers it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

/**
 * Head of every script (REVOCATION.md, rules 1 and 2 of the head). A script that gets past it may trust `id`, `n` and `h`; `rid` is the run
 * id of the server that it runs on.
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
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid', 'n', 'h', 'settled')
local rid = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not E[1] or not E[3] or E[2] ~= rid then return {'REGIME', E[1] or '', E[2] or '', rid} end
local id, n, h, settled = E[1], tonumber(E[3]), E[4], E[5] == '1'

-- Rule 2: ROLLBACK, the log is behind the caller or tells another story; gap, entries after the caller's were trimmed.
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

/** The one kind of script that has no head: it makes what the head asks for. */
export const headless = (name: string, body: string): Script => finish(name, `#!lua flags=allow-oom\n${body}`);
