import { expect, test } from 'vitest';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import type { Delegation } from '../../../../src/core/delegation/delegation.ts';
import { createDelegationCheck } from '../../../../src/proxy/admission/delegation-check.ts';
import { askedFor } from '../../../support/asked-for.ts';
import { DELEGATION } from '../../../support/delegation-settings.ts';

const limits = createDelegationCheck(DELEGATION);
const who = { session: 's', account: 'corp/alice', provider: 'corp', ancestors: ['own'] } as const;
const caller = {
  credential: {
    ...who,
    keys: coveringKeys(who),
    tokenId: 't',
    audience: 'urn:portcullis:cluster:prod',
    client: 'portcullis-cli',
    issuedAt: 0,
    expiresAt: 0,
    position: { epoch: 'e', number: 1 },
  },
  identity: { username: 'corp:alice', uid: 'corp/alice', groups: [], extra: {} },
};
const delegation: Delegation = {
  ancestors: ['own'],
  actors: [{ name: 'claude' }],
  clusters: ['prod'],
  limits: [{ preset: 'read-only' }],
};
const MCP: (typeof DELEGATION)['clients'][number] = {
  id: 'mcp',
  resource: 'https://mcp.example.com/mcp',
  limit: { namespaces: ['shop'] },
  clusters: ['prod'],
  lifetime: 900,
  binding: 'certificate',
};
const request = askedFor('GET', '/api/v1/namespaces/shop/pods');

test('a delegation of a later version allows nothing, because a part of it is not known here', () => {
  expect(limits.judge(caller, delegation, request)).toBeUndefined();
  const later = { ...delegation, hours: ['09-17'] };
  expect(limits.judge(caller, later, request)).toMatchObject({ code: 403 });
});

test.each([
  ['192.0.2.7', true],
  ['::ffff:192.0.2.7', true],
  ['::ffff:192.0.3.7', false],
  ['2001:db8::1', true],
  ['2001:db8:1::1', false],
  ['::192.0.2.7', false],
  ['', false],
])('a session for some addresses is used from %j: %j', (address, isAllowed) => {
  const bound = { ...delegation, sourceCidrs: ['192.0.2.0/24', '2001:db8::/48'] };
  expect(limits.judge(caller, bound, { ...request, address }) === undefined).toBe(isAllowed);
});

test.each<readonly [settings: Partial<typeof DELEGATION>, reason: string | undefined]>([
  [{}, undefined],
  [{ enabled: false }, 'delegation_disabled'],
  [{ groups: ['corp:dev'] }, 'delegation_not_allowed'],
  [{ clusters: ['lab'] }, 'cluster_not_delegable'],
  [{ clients: [] }, 'delegation_client_removed'],
  [{ most: 'read-only' }, 'delegation_limit'],
  [{ clients: [{ ...MCP, limit: { preset: 'read-only' } }] }, 'delegation_limit'],
])('a session that was made before the configuration became %o is judged by it', (settings, reason) => {
  const made = {
    ...delegation,
    actors: [{ name: 'mcp', registered: true } as const],
    limits: [{ namespaces: ['shop'] }],
  };
  const check = createDelegationCheck({ ...DELEGATION, clients: [MCP], ...settings });
  const deletion = askedFor('DELETE', '/api/v1/namespaces/shop/pods/web-1');
  expect(check.judge(caller, made, deletion)?.auditReason).toBe(reason);
});
