/** Whether what was observed of a Redis server is good enough. */
import { CLOCK_SKEW_SECONDS } from '../../lifetimes.ts';
import { UNCONFIRMED, type RedisSettings } from '../settings.ts';
import { PROBED_COMMANDS, type Observed, type Seen, type ServerSeen, type Timed } from './observe.ts';
import { infoRows } from './server-rows.ts';
import { rowsOf, type CheckRow } from './row.ts';

const EVERY_REQUEST = 'Every request gets 503.';
/** A clock that is off by more drifts, and will be off by too much. */
const DRIFTING_MS = 5000;
/** Half of the limit: the network's worst moments are not among the few scripts of a check. */
const SLOW_MS = UNCONFIRMED.timeoutMs / 2;
/** A part of replies that come too late from which on replicas lose their leases. */
const TOO_MANY_LATE = 0.1;

const listOf = (names: readonly string[]): string => names.join(', ');

/** Judges what was observed: for each thing that Portcullis needs, what was found and what follows. */
export function judge(observed: Observed | Pick<Observed, 'connection'>, settings: RedisSettings): readonly CheckRow[] {
  const { connection } = observed;
  const { ok, no } = rowsOf('connection', 'accepted, with these credentials');
  if (!connection.ok || !('info' in observed)) {
    const found = connection.ok ? 'none' : connection.reason;
    return [no(found, `${EVERY_REQUEST} Nothing else could be checked.`)];
  }
  const { info, servers, byHash, commands, confirmations, news, timed } = observed;
  const infoRow = rowsOf('info', 'INFO');
  return [
    ok('accepted', 'Each replica keeps four connections.'),
    tlsRow(connection.value, settings),
    userRow(settings),
    ...(info.ok
      ? infoRows(info.value)
      : [infoRow.no(info.reason, `Portcullis cannot tell whether this server is suitable. ${EVERY_REQUEST}`)]),
    generationRow(servers),
    pendingRow(servers),
    scriptsRow(byHash, commands),
    commandsRow(commands),
    waitRow(confirmations, info),
    newsRow(news),
    clockRow(servers),
    latencyRow(timed),
  ];
}

function tlsRow(version: string | undefined, { url }: RedisSettings): CheckRow {
  const { ok, warn } = rowsOf('tls', 'rediss://, unless it is on this machine');
  if (version !== undefined)
    return ok(`${version}, certificate verified`, 'No attacker on the network can read or change anything.');
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
    ? ok('none, on this machine', 'The connection does not leave this machine.')
    : warn('none', 'An attacker on the network reads the password, and can change sessions and revocations.');
}

function userRow({ username, password }: RedisSettings): CheckRow {
  const { ok, warn } = rowsOf('user', 'a user of its own, with a password');
  const name = username ?? 'default';
  if (password === undefined)
    return warn(`${name}, without password`, 'An attacker who reaches the port reads and changes everything in it.');
  return name === 'default'
    ? warn(
        name,
        'It usually has every right, so an attacker with its password reads and changes everything in this Redis.',
      )
    : ok(name, 'An attacker with its password can do what this user may do, and no more.');
}

/** By the replies of scripts, because the head of every script reads it there. */
function generationRow(servers: readonly Seen<ServerSeen>[]): CheckRow {
  const { ok, no } = rowsOf('generation', 'run id and replication id within scripts');
  const failed = servers.find((each) => !each.ok);
  if (failed?.ok === false)
    return no(
      failed.reason,
      `A restart that forgot a revocation would go unnoticed, so nothing is served. ${EVERY_REQUEST}`,
    );
  const all = new Set(servers.flatMap((each) => (each.ok ? [each.value.generation] : [])));
  const found = listOf([...all].map((each) => each.replaceAll(/(\w{8})\w+/g, '$1…')));
  return all.size === 1
    ? ok(found, 'A restart or a failover of this store ends every session: all users sign in again.')
    : no(found, 'The connections lead to different servers, so all users are signed out again and again.');
}

function pendingRow(servers: readonly Seen<ServerSeen>[]): CheckRow {
  const { ok, no } = rowsOf('maxmemory', 'maxmemory within scripts');
  const [server] = servers;
  return server?.ok === true && server.value.hasMaxmemory
    ? ok('reported', 'Sign-ins in progress get at most a quarter of it.')
    : no('not reported', 'No user can sign in.');
}

function scriptsRow(byHash: Seen<boolean>, commands: Observed['commands']): CheckRow {
  const { ok, warn, no } = rowsOf('scripts', 'EVAL and EVALSHA of Lua with the line #!lua');
  if (!commands.ok) return no(commands.reason, EVERY_REQUEST);
  if (!byHash.ok) return no(byHash.reason, EVERY_REQUEST);
  return byHash.value
    ? ok('both', 'Every operation is one script.')
    : warn('EVAL; EVALSHA forgets scripts', 'Every script is sent twice and in full, which takes more time.');
}

function commandsRow(commands: Observed['commands']): CheckRow {
  const { ok, no } = rowsOf('commands', `the ${PROBED_COMMANDS.size} commands of the scripts, on keys with the prefix`);
  if (!commands.ok) return no(commands.reason, EVERY_REQUEST);
  const [first] = commands.value;
  if (first === undefined) return ok('all of them', 'This user may do everything that Portcullis does.');
  const names = [...new Set(commands.value.map(({ command }) => command))];
  return no(
    `not ${listOf(names)}: ${first.error}`,
    'Requests that need one of them get 503: grant the rights of docs/reference/store-schema.md#the-least-rights.',
  );
}

function waitRow(confirmations: Observed['confirmations'], info: Seen<string>): CheckRow {
  const followers = Number(/^connected_slaves:(\d+)/m.exec(info.ok ? info.value : '')?.[1] ?? 0);
  if (confirmations === undefined) {
    const { ok, warn } = rowsOf('wait', 'no follower, as nodes is 1');
    return followers === 0
      ? ok('none', 'While this server is down, every request gets 503.')
      : warn(
          `${followers} connected`,
          'After a failover the old primary may go on serving replicas, which miss later revocations: set nodes: 3.',
        );
  }
  const { ok, no } = rowsOf('wait', 'WAIT: one follower confirms a write within 200 ms');
  if (!confirmations.ok) return no(confirmations.reason, `No replica gets a lease. ${EVERY_REQUEST}`);
  const found = `${confirmations.value} confirmed, ${followers} connected`;
  return confirmations.value >= 1
    ? ok(found, 'A revocation that is reported as complete survives the loss of one server.')
    : no(found, `No replica gets a lease. ${EVERY_REQUEST}`);
}

function newsRow(news: Observed['news']): CheckRow {
  const { ok, warn } = rowsOf('news', 'PUBLISH and SUBSCRIBE on channels with the prefix');
  const later = 'A revocation reaches the other replicas only with their next renewal, up to half a second later';
  if (!news.ok) return warn(news.reason, `${later}; each replica connects again and again.`);
  return news.value
    ? ok('a message arrived', 'A revocation reaches the other replicas at once.')
    : warn('no message arrived', `${later}.`);
}

function clockRow(servers: readonly Seen<ServerSeen>[]): CheckRow {
  const { ok, warn, no } = rowsOf('clock', `less than ${CLOCK_SKEW_SECONDS} s between its clock and this machine's`);
  const [server] = servers;
  if (server?.ok !== true) return no('unknown', EVERY_REQUEST);
  const { aheadMs } = server.value;
  const found = `${(Math.abs(aheadMs) / 1000).toFixed(1)} s ${aheadMs < 0 ? 'behind' : 'ahead'}`;
  if (Math.abs(aheadMs) >= CLOCK_SKEW_SECONDS * 1000)
    return no(found, 'No script serves a replica on this machine: repair time synchronisation.');
  return Math.abs(aheadMs) < DRIFTING_MS
    ? ok(found, 'A replica on this machine is served.')
    : warn(found, 'A replica on this machine is served until the difference has grown to a minute.');
}

function latencyRow({ inTime, late }: Timed): CheckRow {
  const limit = UNCONFIRMED.timeoutMs;
  const { ok, warn, no } = rowsOf('latency', `a script's reply within ${limit} ms`);
  const sorted = inTime.toSorted((a, b) => a - b);
  const max = sorted.at(-1);
  if (max === undefined) return no(late === 0 ? 'not measured' : `more than ${limit} ms`, EVERY_REQUEST);
  const p50 = sorted[Math.floor(sorted.length / 2)] ?? max;
  const times = `p50 ${ms(p50)}, max ${late === 0 ? ms(max) : `more than ${limit} ms`} of ${inTime.length + late}`;
  const found = late === 0 ? times : `${times}, ${late} too late`;
  if (late / (inTime.length + late) >= TOO_MANY_LATE)
    return no(found, 'Replicas lose their leases again and again, and reject every request meanwhile.');
  return late === 0 && max < SLOW_MS
    ? ok(found, 'Replicas keep their leases.')
    : warn(found, 'Some requests get 503, and a replica that misses several renewals in a row cuts every stream.');
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
