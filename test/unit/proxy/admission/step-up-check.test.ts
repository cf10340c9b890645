import { describe, expect, test } from 'vitest';
import { consoleClient, PLUGIN_CLIENT_ID } from '../../../../src/core/core.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import type { Delegation } from '../../../../src/core/delegation/delegation.ts';
import type { Identity } from '../../../../src/core/identity/identity.ts';
import type { StepUpSettings } from '../../../../src/proxy/proxy.ts';
import { createStepUpCheck, type ProvenCaller } from '../../../../src/proxy/admission/step-up-check.ts';
import { askedFor } from '../../../support/asked-for.ts';

const NOW = 1_800_000_000;
const SKEW = 60;
const MAX_AGE = 900;
const publicUrl = 'https://portcullis.example.com';
const core = { apiGroups: [''] };

const checkOf = (stepUp?: StepUpSettings) =>
  createStepUpCheck({
    ...(stepUp === undefined ? {} : { stepUp }),
    clusters: [{ name: 'prod' }, { name: 'dev' }],
    clock: { nowMs: () => NOW * 1000 },
    publicUrl,
    thirdParties: new Map([['kubelogin', 'Kubelogin']]),
  });
const settings = {
  rules: [
    { clusters: ['prod'], rules: [{ verbs: ['delete'], ...core, resources: ['pods'] }], maxAge: MAX_AGE },
    { rules: [{ verbs: ['impersonate'], ...core, resources: ['groups'] }], maxAge: 60 },
  ],
  proving: new Set(['corp']),
  silent: new Set(['hub']),
  clockSkew: SKEW,
};
const check = checkOf(settings);

const identity: Identity = { username: 'corp:alice', uid: 'corp/alice', groups: [], extra: {} };
const callerOf = (
  authTime: number | undefined,
  {
    provider = 'corp',
    client = PLUGIN_CLIENT_ID,
    delegation,
  }: { provider?: string; client?: string; delegation?: Delegation } = {},
): ProvenCaller => {
  const who = { session: 's', account: `${provider}/alice`, provider } as const;
  return {
    credential: {
      ...who,
      keys: coveringKeys(who),
      tokenId: 't',
      audience: 'urn:portcullis:cluster:prod',
      client,
      issuedAt: 0,
      expiresAt: 0,
      position: { epoch: 'e', number: 1 },
    },
    identity,
    ...(authTime === undefined ? {} : { authTime }),
    ...(delegation === undefined ? {} : { delegation }),
  };
};
const dev = { cluster: { name: 'dev' } };
const removal = askedFor('DELETE', '/api/v1/namespaces/shop/pods/p');
const delegation: Delegation = { ancestors: ['own'], actors: [{ name: 'claude' }], clusters: ['prod'], limits: [] };

test('without rules there is no check', () => {
  expect(checkOf()).toBeUndefined();
  expect(checkOf({ ...settings, rules: [] })).toBeUndefined();
});

describe('a proof', () => {
  test.each<[string, number | undefined, boolean]>([
    ['of now', NOW, true],
    ['as old as may be', NOW - MAX_AGE - SKEW, true],
    ['a second older', NOW - MAX_AGE - SKEW - 1, false],
    ['of a clock that is fast', NOW + SKEW, true],
    ['of the future', NOW + SKEW + 1, false],
    ['that there is none of', undefined, false],
  ])('%s is enough: %j', (_what, authTime, isEnough) => {
    expect(check?.user(callerOf(authTime), removal)?.code).toBe(isEnough ? undefined : 403);
  });

  test('that is missing is a 403, which client-go shows, and never a 401, for which it drops the credential', () => {
    const forbidden = { code: 403, reason: 'Forbidden', auditReason: 'step_up_needed', retry: 'no' };
    expect(check?.user(callerOf(0), removal)).toMatchObject(forbidden);
  });

  test('is not asked for where no rule is touched', () => {
    const old = callerOf(NOW - 86_400);
    expect(check?.user(old, askedFor('GET', '/api/v1/namespaces/shop/pods/p'))).toBeUndefined();
    expect(check?.user(old, { ...removal, ...dev })).toBeUndefined();
  });

  test('is asked of anyone who makes the request, for the request and for each user and group that it acts as', () => {
    const as = (groups: readonly string[]): Identity => ({ username: 'limited', uid: '', groups, extra: {} });
    const minutes = callerOf(NOW - 300);
    expect(check?.user(callerOf(NOW - 86_400), { ...removal, impersonated: as([]) })).toMatchObject({ code: 403 });
    const read = askedFor('GET', '/api/v1/namespaces/shop/pods/p', dev);
    expect(check?.user(minutes, { ...read, impersonated: as([]) })).toBeUndefined();
    expect(check?.user(minutes, { ...read, impersonated: as(['system:masters']) })?.message).toContain(
      'cannot impersonate resource "groups"',
    );
    expect(check?.user(minutes, { ...removal, impersonated: as(['ops']) })?.message).toContain('in the last minute;');
  });
});

describe('the message', () => {
  const STEP_UP = `run: portcullis step-up --server ${publicUrl}`;
  test.each<[string, ProvenCaller, string]>([
    ['a user', callerOf(0), STEP_UP],
    ['a web console', callerOf(0, { client: consoleClient('dash') }), `open ${publicUrl}/step-up/me`],
    [
      'a client without the command',
      callerOf(0, { client: 'kubelogin' }),
      `which Kubelogin cannot ask for: use kubectl with the portcullis plugin; ${STEP_UP}`,
    ],
    [
      'a delegated session',
      callerOf(NOW, { delegation }),
      `delegated to "claude" never has: its user's own session must do it`,
    ],
    ['a workload', callerOf(NOW, { provider: 'ci' }), 'which a workload never has'],
    ['a provider that was changed', callerOf(NOW, { provider: 'hub' }), 'ask your platform team'],
  ])('of %s says what to do', (_what, caller, next) => {
    const message = check?.user(caller, removal)?.message;
    expect(message).toContain('pods "p" is forbidden: User "corp:alice" cannot delete resource "pods"');
    expect(message).toContain('this needs a sign-in at the identity provider in the last 15 minutes');
    expect(message).toContain(next);
  });

  test('of a service account with its own token is that of a workload', () => {
    const name = 'system:serviceaccount:shop:robot';
    expect(check?.serviceAccount(name, removal)?.message).toContain('which a workload never has');
    expect(check?.serviceAccount(name, { ...removal, ...dev })).toBeUndefined();
  });
});
