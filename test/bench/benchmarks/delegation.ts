/** What it costs a request to be compared with the limits of its session. */
import { coveringKeys } from '../../../src/core/credential/revocation.ts';
import { ownSession, type Caller } from '../../../src/core/credential/credential.ts';
import type { RightsLimit } from '../../../src/core/delegation/rights.ts';
import { createDelegationCheck } from '../../../src/proxy/admission/delegation-check.ts';
import type { AskedFor } from '../../../src/proxy/admission/request-question.ts';
import { askedFor } from '../../support/asked-for.ts';
import { DELEGATION } from '../../support/delegation-settings.ts';
import { inTurns, TARGET, type Step } from '../in-process.ts';
import type { BenchResult } from '../report.ts';

const limits = createDelegationCheck(DELEGATION);

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
function check(caller: Caller, asked: AskedFor): boolean {
  const { delegation } = caller;
  if (delegation === undefined) return ownSession(caller.credential) !== '';
  if (limits.judge(caller, delegation, asked) !== undefined) return false;
  return limits.passOf({ caller, info: asked.info }) !== undefined;
}

export function delegation(): Promise<BenchResult[]> {
  const asked = askedFor('GET', TARGET);
  const step = (name: string, caller: Caller, most?: number): Step => ({
    name: `limits: ${name}`,
    act: () => check(caller, asked),
    ...(most === undefined ? {} : { most }),
  });
  return inTurns([
    step('no delegation', callerWith(), 1),
    step('read-only in a namespace', callerWith([{ preset: 'read-only', namespaces: ['shop'] }])),
    step('50 rules', callerWith([rulesOf(0)]), 5),
    step('50 rules, narrowed three times', callerWith([0, 1, 2, 3].map(rulesOf))),
  ]);
}
