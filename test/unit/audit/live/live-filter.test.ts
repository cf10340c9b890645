import { describe, expect, test } from 'vitest';
import { matches, type LiveFilter } from '../../../../src/audit/live/live-filter.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { anEvent } from '../fixtures.ts';

const facts = (given: Readonly<Record<string, string>>): AuditEvent['annotations'] =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [`portcullis.dev/${name}`, value]));

const exec = anEvent({
  verb: 'create',
  objectRef: { resource: 'pods', subresource: 'exec', namespace: 'default', name: 'web-0' },
  annotations: facts({ cluster: 'prod', session: 's-1', account: 'corp/1' }),
});
const delegated = anEvent({
  annotations: facts({ session: 's-1', 'delegated-session': 's-2', actor: 'claude/reviewer' }),
});
const granted = anEvent({ annotations: facts({ 'grant-id': 'g-1 g-2', grant: 'refresh_token' }) });
const byApiServer = anEvent({ impersonatedUser: { username: 'alice', extra: { 'portcullis.dev/grant-id': ['g-1'] } } });
const signIn = anEvent({ verb: 'sign-in', annotations: facts({ event: 'sign-in', reason: 'corp' }) });

const asBob = anEvent({ user: { username: 'corp:root' }, impersonatedUser: { username: 'corp:bob' } });
const of = (verb: string, resource: string, apiGroup?: string, namespace?: string): AuditEvent =>
  anEvent({ verb, objectRef: { resource, apiGroup, namespace } });

describe('a tail is shown', () => {
  test.each<[LiveFilter, boolean]>([
    [{ user: 'corp:root' }, true],
    [{ user: 'corp:bob' }, true],
    [{ user: 'corp:alice' }, false],
    [{ as: 'corp:bob' }, true],
    [{ as: 'corp:root' }, false],
    [{ as: '*' }, true],
    [{ actor: '*' }, false],
    [{ event: 'sign-in,lock' }, false],
  ])('a request as another user, asked for %j: %s', (filter, shown) => {
    expect(matches(filter, asBob)).toBe(shown);
  });

  test.each<[string, AuditEvent, boolean]>([
    ['list of all namespaces', of('list', 'secrets'), true],
    ['watch of all namespaces', of('watch', 'deployments', 'apps'), true],
    ['deletion in all namespaces', of('deletecollection', 'pods'), true],
    ['list of another namespace', of('list', 'secrets', undefined, 'build'), false],
    ['list of nodes', of('list', 'nodes'), false],
    ['watch of cluster roles', of('watch', 'clusterroles', 'rbac.authorization.k8s.io'), false],
    // An attacker who may install one gives a namespaced resource the name of a cluster-scoped one.
    ['list of nodes of another group', of('list', 'nodes', 'example.com'), true],
    ['creation without a namespace', of('create', 'namespaces'), false],
  ])('by its namespace, a %s', (_name, event, shown) => {
    expect(matches({ namespace: 'shop' }, event)).toBe(shown);
  });

  test.each<[LiveFilter, boolean]>([
    [{ session: 's-1' }, true],
    [{ session: 's-2' }, true],
    [{ session: 's-3' }, false],
    [{ actor: 'claude' }, true],
    [{ actor: '*' }, true],
    [{ as: '*' }, false],
    [{ actor: 'reviewer' }, true],
    [{ actor: 'claude/reviewer' }, true],
    [{ actor: 'claud' }, false],
    [{ actor: '' }, false],
  ])('an event of a delegated session, asked for %j: %s', (filter, shown) => {
    expect(matches(filter, delegated)).toBe(shown);
  });

  test.each<[LiveFilter, boolean]>([
    [{ grant: 'g-1' }, true],
    [{ grant: 'g-2' }, true],
    [{ grant: 'g' }, false],
    [{ grant: 'refresh_token' }, false],
    [{ grant: '' }, false],
  ])('a request that was made with two grants, asked for %j: %s', (filter, shown) => {
    expect(matches(filter, granted)).toBe(shown);
  });

  test('the same request in the audit log of an API server, whatever that has in place of it', () => {
    expect(matches({ grant: 'g-1' }, byApiServer)).toBe(true);
    expect(matches({ grant: 'g-2' }, byApiServer)).toBe(false);
    for (const odd of [null, 'alice', { extra: null }, { extra: { 'portcullis.dev/grant-id': [1, null] } }]) {
      expect(matches({ grant: 'g-1' }, { ...byApiServer, impersonatedUser: odd } as AuditEvent)).toBe(false);
    }
  });

  test.each<[LiveFilter, boolean]>([
    [{}, true],
    [{ user: 'corp:alice' }, true],
    [{ user: 'corp:ali' }, false],
    [{ account: 'corp/1', session: 's-1', cluster: 'prod', verb: 'create', namespace: 'default', code: '200' }, true],
    [{ account: 'corp/2' }, false],
    [{ session: 's-2' }, false],
    [{ cluster: 'staging' }, false],
    [{ verb: 'get' }, false],
    [{ namespace: 'kube-system' }, false],
    [{ code: '403' }, false],
    [{ resource: 'pods' }, true],
    [{ resource: 'pods/exec' }, true],
    [{ resource: 'secrets,pods/exec' }, true],
    [{ resource: 'secrets,pods/log' }, false],
    [{ resource: 'pods/log' }, false],
    [{ resource: 'exec' }, false],
    [{ event: 'sign-in' }, false],
    [{ user: 'corp:alice', verb: 'get' }, false],
    [{ actor: 'claude' }, false],
    [{ actor: '' }, false],
    [{ grant: 'g-1' }, false],
    [{ grant: '' }, false],
    [{ as: 'corp:alice' }, false],
    [{ verb: 'get,create' }, true],
    [{ verb: 'get,list' }, false],
  ])('an exec, asked for %j: %s', (filter, shown) => {
    expect(matches(filter, exec)).toBe(shown);
  });

  test.each<[LiveFilter, boolean]>([
    [{ event: 'sign-in' }, true],
    [{ event: 'sign-in-refused' }, false],
    [{ resource: 'pods' }, false],
    [{ cluster: 'prod' }, false],
  ])('a sign-in, asked for %j: %s', (filter, shown) => {
    expect(matches(filter, signIn)).toBe(shown);
  });
});

describe('refused is', () => {
  test.each<[string, Partial<AuditEvent>, boolean]>([
    ['what the cluster refused', { responseStatus: { code: 403 } }, true],
    ['what had no good credential', { responseStatus: { code: 401 } }, true],
    ['what Portcullis refused', { responseStatus: { code: 503 }, annotations: facts({ reason: 'fenced' }) }, true],
    ['a sign-in', { responseStatus: { code: 200 }, annotations: facts({ event: 'sign-in-refused' }) }, true],
    ['not what was not found', { responseStatus: { code: 404 } }, false],
    ['not a failure of the cluster', { responseStatus: { code: 503 } }, false],
    [
      'not a stream that was cut',
      { responseStatus: { code: 200 }, annotations: facts({ reason: 'session_revoked' }) },
      false,
    ],
    [
      'not a revocation',
      { responseStatus: { code: 202 }, annotations: facts({ event: 'revocation', reason: 'x' }) },
      false,
    ],
    ['not what has no answer', {}, false],
  ])('%s', (_what, change, refused) => {
    expect(matches({ refused: 'true' }, anEvent(change))).toBe(refused);
  });
});
