import { expect, test } from 'vitest';
import { effectiveVerb } from '../../../../src/core/delegation/effective-verb.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const NS = '/api/v1/namespaces/shop';

test.each([
  ['GET', `${NS}/pods`, 'list', 'create'],
  ['GET', `${NS}/pods/a`, 'get', 'create'],
  ['HEAD', `${NS}/pods/a`, 'get', 'create'],
  ['GET', `${NS}/pods?watch=1`, 'watch', 'watch'],
  ['GET', `${NS}/pods?watch=0`, 'list', 'create'],
  ['GET', '/api/v1/watch/namespaces/shop/secrets', 'watch', 'watch'],
  ['DELETE', `${NS}/pods`, 'deletecollection', 'deletecollection'],
  ['DELETE', `${NS}/pods/a`, 'delete', 'delete'],
  ['GET', `${NS}/pods/a/log?follow=1`, 'get', 'get'],
  ['GET', `${NS}/pods/a/exec?command=id`, 'create', 'create'],
  ['POST', `${NS}/pods/a/exec?command=id`, 'create', 'create'],
  ['HEAD', `${NS}/pods/a/exec`, 'create', 'create'],
  ['GET', `${NS}/pods/a/attach`, 'create', 'create'],
  ['GET', `${NS}/pods/a/portforward`, 'create', 'create'],
  ['GET', `/api/v1/watch/namespaces/shop/pods/a/exec`, 'create', 'create'],
  ['GET', '/api/v1/nodes/n1/proxy/pods', 'get', 'create'],
  ['GET', '/api/v1/watch/nodes/n1/proxy/exec/shop/a/c', 'watch', 'create'],
  ['POST', '/api/v1/nodes/n1/proxy/run/shop/a/c', 'create', 'create'],
  ['GET', `${NS}/services/web/proxy/`, 'get', 'create'],
  ['DELETE', `${NS}/services/web/proxy/cart`, 'delete', 'delete'],
  ['GET', `${NS}/pods/a/proxy/`, 'get', 'create'],
  ['OPTIONS', `${NS}/pods/a/proxy/`, '', ''],
  ['GET', '/api/v1/proxy/namespaces/shop/services/web/x', 'proxy', 'proxy'],
  ['PATCH', `${NS}/pods/a/ephemeralcontainers`, 'patch', 'patch'],
  ['POST', `${NS}/serviceaccounts/default/token`, 'create', 'create'],
  ['GET', '/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/vm/vnc', 'get', 'create'],
  ['GET', '/apis/example.com/v1/namespaces/shop/pods/a/exec', 'get', 'create'],
  ['GET', '/metrics', 'get', 'get'],
  ['POST', '/metrics', 'post', 'post'],
])('%s %s is %j, and %j if it is upgraded', (method, target, plain, upgraded) => {
  const info = requestInfo(method, target);
  expect([effectiveVerb(info), effectiveVerb(info, true)]).toEqual([plain, upgraded]);
});
