/**
 * What it costs a request to be compared with the limits of its session. In this process and without a proxy: `get` measures the whole of a
 * request, which differs from run to run by a hundred times as much. In turns with the parsing of the same target, which is in each request too.
 */
import { loadavg } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { coveringKeys } from '../../../src/core/credential/revocation.ts';
import { ownSession, type Caller } from '../../../src/core/credential/credential.ts';
import type { RightsLimit } from '../../../src/core/delegation/rights.ts';
import { requestInfo } from '../../../src/core/request/request-info.ts';
import { createDelegationCheck } from '../../../src/proxy/admission/delegation-check.ts';
import { DELEGATION } from '../../support/delegation-settings.ts';
import { median, pairedRatio, type BenchResult } from '../report.ts';

const ROUNDS = 9;
const WARM_UP = 3;
const REQUESTS = 200_000;
const TARGET = '/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb&limit=500';
const ADDRESS = '192.0.2.7';

const checkDelegated = createDelegationCheck(DELEGATION);

/**
 * The last of fifty that have the verb allows the request, and each names several of everything.
 * @param level makes the rules of each level others: the same ones count once
 */
const rulesOf = (level: number): RightsLimit => ({
  rules: Array.from({ length: 50 }, (_each, index) => ({
    verbs: ['get', 'list', 'watch'],
    apiGroups: ['', 'apps', 'batch'],
    resources: index === 49 ? ['pods', 'pods/log'] : [`w${level}-${index}`, `w${level}-${index}/status`, '*/scale'],
    namespaces: ['shop', 'dev', 'staging'],
  })),
});

function callerWith(limits?: readonly RightsLimit[]): Caller {
  const who = { session: 's', account: 'corp/alice', provider: 'corp' } as const;
  const above = limits === undefined ? {} : { ancestors: ['own'] };
  return {
    credential: {
      ...who,
      ...above,
      keys: coveringKeys({ ...who, ...above }),
      tokenId: 't',
      audience: 'urn:portcullis:cluster:prod',
      client: 'portcullis-cli',
      issuedAt: 0,
      expiresAt: 0,
      position: { epoch: 'e', number: 1 },
    },
    identity: { username: 'corp:alice', uid: 'corp/alice', groups: [], extra: {} },
    sessionExpiresAt: 0,
    sessionIdleAt: 0,
    ...(limits === undefined
      ? {}
      : { delegation: { ancestors: ['own'], actors: [{ name: 'claude' }], clusters: ['prod'], limits } }),
  };
}

/** As admission does it. @returns whether the request passes */
function check(caller: Caller, info: ReturnType<typeof requestInfo>): boolean {
  const { delegation } = caller;
  if (delegation === undefined) return ownSession(caller.credential) !== '';
  return checkDelegated(caller, delegation, {
    cluster: 'prod',
    info,
    upgrade: false,
    address: ADDRESS,
    contentTypes: [],
    impersonated: undefined,
  }).ok;
}

/** Microseconds of CPU for each call. */
async function cpuOf(act: () => boolean): Promise<number> {
  await turn();
  const before = process.cpuUsage();
  let passed = 0;
  for (let index = 0; index < REQUESTS; index += 1) if (act()) passed += 1;
  const { user, system } = process.cpuUsage(before);
  if (passed !== REQUESTS) throw new Error('a request of the benchmark was rejected');
  return (user + system) / REQUESTS;
}

export async function delegation(): Promise<BenchResult[]> {
  const info = requestInfo('GET', TARGET);
  const callers = {
    'no delegation': callerWith(),
    'read-only in a namespace': callerWith([{ preset: 'read-only', namespaces: ['shop'] }]),
    '50 rules': callerWith([rulesOf(0)]),
    '50 rules, narrowed three times': callerWith([0, 1, 2, 3].map(rulesOf)),
  };
  const costs = new Map<string, number[]>();
  const measure = async (name: string, act: () => boolean, round: number): Promise<void> => {
    const micros = await cpuOf(act);
    if (round >= 0) costs.set(name, [...(costs.get(name) ?? []), micros]);
  };
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    await measure('parsing', () => requestInfo('GET', TARGET).isResourceRequest, round);
    for (const [name, caller] of Object.entries(callers)) await measure(name, () => check(caller, info), round);
  }
  const of = (name: string): readonly number[] => costs.get(name) ?? [];
  const [load = 0] = loadavg();
  return Object.keys(callers).map((name) => {
    const micros = median(of(name));
    const most = name === 'no delegation' ? 1 : name === '50 rules' ? 5 : undefined;
    return {
      name: `limits: ${name}`,
      unit: 'µs CPU',
      portcullis: micros,
      peers: {},
      ratio: pairedRatio(of(name), of('parsing')),
      goal: most === undefined ? '' : `<= ${most} µs`,
      ok: most === undefined ? null : micros <= most,
      load: `${ROUNDS} rounds of ${REQUESTS} requests in turns, machine load ${load.toFixed(1)}; ratio: to parsing the target, ${median(of('parsing')).toFixed(2)} µs`,
    };
  });
}
