import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';

import type { Identity } from '../../../../src/core/identity/identity.ts';
import {
  impersonate,
  ImpersonationError,
  requestedImpersonation,
} from '../../../../demo/cluster/authentication/impersonation.ts';
import { createAuthenticator } from '../../../../demo/cluster/authentication/authentication.ts';
import type { ClusterParts } from '../../../../demo/cluster/handlers/call.ts';
import { createAuthorizer } from '../../../../demo/cluster/rbac/authorizer.ts';
import { seed } from '../../../../demo/cluster/seed.ts';
import { createStorage } from '../../../../demo/cluster/storage/storage.ts';

const now = (): Date => new Date('2026-01-02T03:04:05Z');

function cluster(): ClusterParts {
  const storage = createStorage(now);
  const parts = {
    storage,
    authenticator: createAuthenticator({}),
    authorizer: createAuthorizer(storage),
    now,
    constrained: false,
  };
  seed(parts, ['portcullis.dev/session'], false);
  return parts;
}

const INSTANCE: Identity = {
  username: 'system:serviceaccount:portcullis:portcullis',
  uid: '',
  groups: ['system:authenticated'],
  extra: {},
};

const as = (...rawHeaders: string[]): Identity =>
  impersonate({ rawHeaders } as IncomingMessage, { real: INSTANCE, authorizer: cluster().authorizer });

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

describe('impersonation', () => {
  it('takes each group line as one group, commas and all', () => {
    const identity = as('Impersonate-User', 'alice', 'Impersonate-Group', 'a,b', 'impersonate-group', 'c');
    expect(identity.groups).toEqual(['a,b', 'c', 'system:authenticated']);
  });

  it('reads names as UTF-8', () => {
    expect(as('Impersonate-User', latin1('alicé@例え')).username).toBe('alicé@例え');
  });

  it('takes uid and extra, whose keys are percent-decoded and in lower case', () => {
    const identity = as(
      'Impersonate-User',
      'alice',
      'Impersonate-Uid',
      '42',
      'Impersonate-Extra-Portcullis.dev%2Fsession',
      's1',
    );
    expect(identity).toMatchObject({ uid: '42', extra: { 'portcullis.dev/session': ['s1'] } });
  });

  it('fails open for an empty user alone, as the API server does', () => {
    expect(as('Impersonate-User', '')).toBe(INSTANCE);
    expect(as()).toBe(INSTANCE);
  });

  it.each([
    ['a group', ['Impersonate-Group', 'system:masters']],
    ['a uid', ['Impersonate-Uid', '1']],
    ['an extra', ['Impersonate-Extra-x', '1']],
    ['a group with an empty user', ['Impersonate-User', '', 'Impersonate-Group', 'a']],
  ])('refuses %s without a user', (_what, headers) => {
    expect(() => as(...headers)).toThrow(ImpersonationError);
  });

  it('counts the first of two users', () => {
    expect(requestedImpersonation(['Impersonate-User', 'alice', 'Impersonate-User', 'root']).user).toBe('alice');
  });

  it('rejects what the real user may not impersonate, with the message of Kubernetes', () => {
    expect(() => as('Impersonate-User', 'alice', 'Impersonate-Extra-scopes', 'all')).toThrow(
      `userextras.authentication.k8s.io "all" is forbidden: User "${INSTANCE.username}" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope`,
    );
    const alice = { username: 'demo:alice', uid: '', groups: ['demo:developers'], extra: {} };
    const account = { rawHeaders: ['Impersonate-User', 'system:serviceaccount:default:default'] } as IncomingMessage;
    expect(() => impersonate(account, { real: alice, authorizer: cluster().authorizer })).toThrow(
      `serviceaccounts "default" is forbidden: User "demo:alice" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"`,
    );
  });

  it('does not let every user impersonate', () => {
    const alice = { username: 'demo:alice', uid: '', groups: ['demo:developers'], extra: {} };
    const request = { rawHeaders: ['Impersonate-User', 'demo:root'] } as IncomingMessage;
    expect(() => impersonate(request, { real: alice, authorizer: cluster().authorizer })).toThrow(
      'users "demo:root" is forbidden: User "demo:alice" cannot impersonate resource "users" in API group "" at the cluster scope',
    );
  });

  it('does not add system:authenticated to who is unauthenticated', () => {
    const identity = as('Impersonate-User', 'system:anonymous');
    expect(identity.groups).toEqual(['system:unauthenticated']);
  });
});
