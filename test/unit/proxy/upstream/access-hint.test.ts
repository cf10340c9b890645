import { describe, expect, it } from 'vitest';
import type { AccessRole } from '../../../../src/core/access/role.ts';
import type { Caller } from '../../../../src/core/credential/credential.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { accessHint } from '../../../../src/proxy/upstream/access-hint.ts';

const role = (name: string, change: Partial<AccessRole> = {}): AccessRole => ({
  name,
  description: name,
  groups: [`of:${name}`],
  requesters: ['dev'],
  approval: 'none',
  longest: 60,
  ...change,
});
const OWNER = { session: 's', account: 'corp/alice', provider: 'corp' } as const;
const callerOf = (change: Partial<Caller> & { readonly client?: string; readonly provider?: string } = {}): Caller => {
  const { client = 'portcullis-cli', provider = 'corp', ...rest } = change;
  const claims = { tokenId: '', audience: '', client, issuedAt: 0, expiresAt: 0, position: { epoch: 'e', number: 0 } };
  return {
    credential: { ...OWNER, ...claims, provider, keys: coveringKeys(OWNER) },
    identity: { username: 'alice', uid: 'u', groups: ['dev'], extra: {} },
    sessionExpiresAt: 1,
    sessionIdleAt: 1,
    ...rest,
  };
};
const hint = (
  roles: readonly AccessRole[],
  caller: Caller | undefined,
  { impersonates = false, path = '/api/v1/pods' } = {},
): string | undefined =>
  accessHint(
    {
      publicUrl: 'https://portcullis.test',
      thirdParties: new Map([['kubelogin', 'kubelogin']]),
      access: { roles, workloads: new Set(['ci']) },
    },
    { caller, impersonates },
    { cluster: { name: 'prod' }, info: requestInfo('GET', path) },
  );

describe('the roles that a user may ask for, in a warning', () => {
  it.each([
    [['a'], 'you may ask for the role a: portcullis access request a'],
    [['a', 'b'], 'you may ask for the roles a or b, for example: portcullis access request a'],
    [['a', 'b', 'c'], 'you may ask for the roles a, b or c, for example: portcullis access request a'],
    [['a', 'b', 'c', 'd'], 'you may ask for the roles a, b, c and others, for example: portcullis access request a'],
  ])('are %j', (names, text) => {
    expect(
      hint(
        names.map((name) => role(name)),
        callerOf(),
      ),
    ).toBe(text);
    // RFC 9110 §5.6.4: of a quoted string, without what needs escaping.
    expect(text).toMatch(/^[ !#-[\]-~]+$/);
  });

  const delegation = { ancestors: ['own'], actors: [], clusters: ['prod'], limits: [] };
  const groups = (...all: string[]) => ({ username: 'alice', uid: 'u', groups: all, extra: {} });
  const grant = { id: 'g', role: 'a', groups: [], endsAt: 0, leftMs: 1 };
  it.each<[string, AccessRole, Caller | undefined, Parameters<typeof hint>[2]?]>([
    ['a user who may not ask for it', role('a', { requesters: ['others'] }), callerOf()],
    ['a role that no one may ask for', role('a', { requesters: [] }), callerOf()],
    ['a role that no one can approve', role('a', { approval: { groups: [], count: 1 } }), callerOf()],
    ['a role of another cluster', role('a', { clusters: ['staging'] }), callerOf()],
    ['a role of no cluster', role('a', { clusters: [] }), callerOf()],
    ['a user who has its groups', role('a'), callerOf({ identity: groups('dev', 'of:a') })],
    ['a user who has it for a while', role('a'), callerOf({ grants: [grant] })],
    [
      'a group that was granted itself',
      role('a', { requesters: ['granted'] }),
      callerOf({ identity: groups('dev', 'granted'), ownIdentity: groups('dev') }),
    ],
    ['a delegated session', role('a'), callerOf({ delegation })],
    ['a workload', role('a'), callerOf({ provider: 'ci' })],
    ['a web console', role('a'), callerOf({ client: 'console:headlamp' })],
    ['a service account with its own token', role('a'), undefined],
    ['a user who acts as another', role('a'), callerOf(), { impersonates: true }],
    ['what is behind a proxy subresource', role('a'), callerOf(), { path: '/api/v1/namespaces/x/pods/y/proxy/z' }],
  ])('are none for %s', (_what, asked, caller, about) => {
    expect(hint([asked], caller, about)).toBeUndefined();
  });

  it('are named with the page where the user’s client is another one', () => {
    expect(hint([role('a')], callerOf({ client: 'kubelogin' }))).toBe(
      'you may ask for the role a at https://portcullis.test/access',
    );
  });
});
