import { describe, expect, test } from 'vitest';
import {
  constrainedAttributes,
  impersonateOn,
  unconstrained,
} from '../../../../src/core/http/constrained-impersonation.ts';
import { isConstrainedRead } from '../../../../src/core/http/constrained-read.ts';
import { rbacDenial } from '../../../../src/core/http/impersonation.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { buildUpstreamHeaders, flatHeaders } from '../../../../src/core/http/upstream-headers.ts';

const user = (username: string, more: object = {}) => ({ username, uid: '', groups: [], extra: {}, ...more });
const BUILDER = 'system:serviceaccount:shop:builder';

describe('what a constrained mode can express', () => {
  test.each([
    [user('corp:bob', { uid: 'u', groups: ['g'], extra: { 'a.com/b': ['c'] } }), undefined],
    [user(BUILDER), undefined],
    // The API server takes these for ordinary users.
    [user('system:serviceaccount:shop', { groups: ['g'] }), undefined],
    [user('system:serviceaccount:Shop:builder', { groups: ['g'] }), undefined],
    [user(BUILDER, { uid: 'u' }), 'service_account_attributes'],
    [user(BUILDER, { groups: ['g'] }), 'service_account_attributes'],
    [user(BUILDER, { extra: { 'a.com/b': ['c'] } }), 'service_account_attributes'],
    [user('system:node:one'), 'node'],
    [user('corp:bob', { groups: ['g', 'system:masters'] }), 'masters'],
  ])('%j: %s', (requested, expected) => {
    expect(unconstrained(requested)).toBe(expected);
  });
});

test('every attribute is asked for in the API group that constrained impersonation has, by the mode of the name', () => {
  const asked = (requested: ReturnType<typeof user>) =>
    constrainedAttributes(requested).map(({ verb, group, resource, subresource, namespace, name }) =>
      [verb, group, namespace, subresource === '' ? resource : `${resource}/${subresource}`, name].join(' '),
    );
  const group = 'authentication.k8s.io';
  expect(asked(user('corp:bob', { uid: 'u', groups: ['g'], extra: { 'a.com/b': ['c'] } }))).toEqual([
    `impersonate:user-info ${group}  users corp:bob`,
    `impersonate:user-info ${group}  uids u`,
    `impersonate:user-info ${group}  groups g`,
    `impersonate:user-info ${group}  userextras/a.com/b c`,
  ]);
  expect(asked(user(BUILDER))).toEqual([`impersonate:serviceaccount ${group} shop serviceaccounts builder`]);
});

test('what the request is about is asked for with the verb of the request, as the API server does', () => {
  const denial = (method: string, target: string) =>
    rbacDenial('a', impersonateOn('user-info', requestInfo(method, target)));
  expect(denial('GET', '/apis/apps/v1/namespaces/shop/deployments/web/scale')).toBe(
    'deployments.apps "web" is forbidden: User "a" cannot impersonate-on:user-info:get resource "deployments/scale" in API group "apps" in the namespace "shop"',
  );
  expect(denial('GET', '/api/v1/nodes')).toBe(
    'nodes is forbidden: User "a" cannot impersonate-on:user-info:list resource "nodes" in API group "" at the cluster scope',
  );
  expect(denial('GET', '/api/v1/namespaces/shop/pods/web/exec?command=id')).toContain('impersonate-on:user-info:get');
  expect(denial('POST', '/logs/x')).toBe('forbidden: User "a" cannot impersonate-on:user-info:post path "/logs/x"');
});

test.each([
  ['GET', '/api/v1/namespaces/shop/pods/web', true],
  ['GET', '/api/v1/pods?watch=1', true],
  ['GET', '/api/v1/namespaces/shop/pods/web/log?follow=1', true],
  ['GET', '/apis/apps/v1/namespaces/shop/deployments/web/scale', true],
  ['POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', true],
  ['GET', '/openapi/v3', true],
  ['GET', '/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods', true],
  // An aggregated API, which may have more.
  ['GET', '/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/web/exec', false],
  ['GET', '/version', true],
  // A shell, a tunnel, and whatever is behind a proxy, each by GET.
  ['GET', '/api/v1/namespaces/shop/pods/web/exec', false],
  ['GET', '/api/v1/namespaces/shop/pods/web/attach', false],
  ['GET', '/api/v1/namespaces/shop/pods/web/portforward', false],
  ['GET', '/api/v1/namespaces/shop/pods/web/proxy/', false],
  ['GET', '/api/v1/namespaces/shop/services/web/proxy/', false],
  ['GET', '/api/v1/nodes/one/proxy/run/shop/web/web', false],
  ['GET', '/api/v1/proxy/nodes/one/', false],
  ['GET', '/api/v1/namespaces/shop/secrets/key', false],
  ['GET', '/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/vm/console', false],
  ['POST', '/api/v1/namespaces/shop/serviceaccounts/builder/token', false],
  ['POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', false],
  ['PATCH', '/apis/apps/v1/namespaces/shop/deployments/web', false],
  ['DELETE', '/api/v1/namespaces/shop/pods', false],
  ['GET', '/metrics', false],
  ['GET', '/apis-of-mine', false],
  ['POST', '/api', false],
])('%s %s is a read: %s', (method, target, expected) => {
  expect(isConstrainedRead(requestInfo(method, target))).toBe(expected);
});

describe('the headers for a service account', () => {
  const headers = (constrained: boolean, more: object = {}) =>
    flatHeaders(
      buildUpstreamHeaders({
        raw: [],
        belowProxy: false,
        upgrade: false,
        upstreamToken: 't',
        identity: user('corp:alice', { uid: 'u' }),
        actingAs: user(BUILDER, more),
        constrained,
        sessionId: 's',
        auditId: 'a',
        forwardedFor: '::1',
      }),
    ).filter((each) => each.startsWith('Impersonate-'));

  test('have its name alone in a constrained mode, and the session and the user in no other', () => {
    expect(headers(true)).toEqual(['Impersonate-User']);
    expect(headers(false)).toEqual([
      'Impersonate-User',
      'Impersonate-Extra-portcullis.dev%2Fsession',
      'Impersonate-Extra-portcullis.dev%2Foriginal-user',
    ]);
  });

  test('are never sent without a group that was asked for', () => {
    expect(() => headers(true, { groups: ['g'] })).toThrow('could not pass your identity');
  });
});
