import { describe, expect, test } from 'vitest';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { cpuMs } from '../../../support/cpu-time.ts';

/** method, target, verb, group, version, namespace, resource, subresource, name */
type Row = readonly [string, string, string, string, string, string, string, string, string];

/** A list of the one pod p, with another option. */
const named = (option: string): string => `/api/v1/pods?fieldSelector=metadata.name%3Dp&${option}`;

const ROWS: readonly Row[] = [
  ['GET', '/api/v1/namespaces', 'list', '', 'v1', '', 'namespaces', '', ''],
  ['GET', '/api/v1/namespaces/ns', 'get', '', 'v1', 'ns', 'namespaces', '', 'ns'],
  ['GET', '/api/v1/namespaces/ns/pods', 'list', '', 'v1', 'ns', 'pods', '', ''],
  ['GET', '/api/v1/namespaces/ns/pods/', 'list', '', 'v1', 'ns', 'pods', '', ''],
  ['GET', '/api/v1/namespaces/ns/pods/p', 'get', '', 'v1', 'ns', 'pods', '', 'p'],
  ['HEAD', '/api/v1/namespaces/ns/pods/p', 'get', '', 'v1', 'ns', 'pods', '', 'p'],
  ['HEAD', '/api/v1/pods', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/nodes/n', 'get', '', 'v1', '', 'nodes', '', 'n'],
  ['POST', '/api/v1/namespaces/ns/pods', 'create', '', 'v1', 'ns', 'pods', '', ''],
  ['PUT', '/api/v1/namespaces/ns/pods/p', 'update', '', 'v1', 'ns', 'pods', '', 'p'],
  ['PATCH', '/api/v1/namespaces/ns/pods/p', 'patch', '', 'v1', 'ns', 'pods', '', 'p'],
  ['DELETE', '/api/v1/namespaces/ns/pods/p', 'delete', '', 'v1', 'ns', 'pods', '', 'p'],
  ['DELETE', '/api/v1/namespaces/ns/pods', 'deletecollection', '', 'v1', 'ns', 'pods', '', ''],
  ['DELETE', '/apis/batch/v1/namespaces/ns/jobs', 'deletecollection', 'batch', 'v1', 'ns', 'jobs', '', ''],
  ['OPTIONS', '/api/v1/pods', '', '', 'v1', '', 'pods', '', ''],
  ['GET', '/apis/apps/v1/namespaces/ns/deployments/d/scale', 'get', 'apps', 'v1', 'ns', 'deployments', 'scale', 'd'],
  ['PUT', '/api/v1/namespaces/ns/finalize', 'update', '', 'v1', 'ns', 'namespaces', 'finalize', 'ns'],
  ['PUT', '/api/v1/namespaces/ns/status', 'update', '', 'v1', 'ns', 'namespaces', 'status', 'ns'],
  ['GET', '/api/v1/namespaces/ns/pods/p/proxy/a/b', 'get', '', 'v1', 'ns', 'pods', 'proxy', 'p'],
  ['POST', '/api/v1/namespaces/ns/pods/p/exec?command=ls', 'create', '', 'v1', 'ns', 'pods', 'exec', 'p'],
  // The deprecated verbs in the path.
  ['GET', '/api/v1/watch/pods', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/watch/namespaces/ns/pods/p', 'watch', '', 'v1', 'ns', 'pods', '', 'p'],
  ['GET', '/apis/apps/v1/watch/deployments', 'watch', 'apps', 'v1', '', 'deployments', '', ''],
  ['GET', '/api/v1/proxy/namespaces/ns/pods/p/x/y', 'proxy', '', 'v1', 'ns', 'pods', '', 'p'],
  ['GET', '/api/v1/watch', 'get', '', 'v1', '', '', '', ''],
  // watch: first value; absent, 0 and false in any case are false.
  ['GET', '/api/v1/pods?watch=true', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=1', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=yes', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?%77atch=1', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=0', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=FALSE', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=false&watch=true', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=true&watch=false', 'watch', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=1;x=y', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?Watch=1', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/namespaces/ns/pods/p?watch=1', 'get', '', 'v1', 'ns', 'pods', '', 'p'],
  ['POST', '/api/v1/namespaces/ns/pods?watch=1', 'create', '', 'v1', 'ns', 'pods', '', ''],
  // A field selector by name is a request for that name.
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dp', 'list', '', 'v1', '', 'pods', '', 'p'],
  [
    'GET',
    '/api/v1/pods?fieldSelector=metadata.name==p,spec.nodeName=n&watch=1',
    'watch',
    '',
    'v1',
    '',
    'pods',
    '',
    'p',
  ],
  // Kubernetes sorts the terms before it looks for the name.
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dp,metadata.name%3Da', 'list', '', 'v1', '', 'pods', '', 'a'],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name!%3Dp', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dp,bad', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3D..', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Da%252Fb', 'list', '', 'v1', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dp&limit=x', 'list', '', 'v1', '', 'pods', '', ''],
  // Of options that cannot be decoded, the API server uses none but watch.
  ...[
    'limit=9223372036854775808',
    'labelSelector=-a',
    'labelSelector=a,',
    'labelSelector=a+in+(b',
    'labelSelector=A_/b',
  ].map((option): Row => ['GET', named(option), 'list', '', 'v1', '', 'pods', '', '']),
  ...[
    'limit=500',
    'labelSelector=',
    'labelSelector=app.kubernetes.io/name%3Dweb,!b,c!%3Dd,e%3D',
    'labelSelector=in',
  ].map((option): Row => ['GET', named(option), 'list', '', 'v1', '', 'pods', '', 'p']),
  [
    'GET',
    '/api/v1/pods?fieldSelector=metadata.name%3Da&fieldSelector=metadata.name%3Db',
    'list',
    '',
    'v1',
    '',
    'pods',
    '',
    'a',
  ],
  [
    'DELETE',
    '/api/v1/namespaces/ns/pods?fieldSelector=metadata.name%3Dp',
    'deletecollection',
    '',
    'v1',
    'ns',
    'pods',
    '',
    '',
  ],
];

test.each(ROWS)('%s %s is %s', (method, target, verb, apiGroup, apiVersion, namespace, resource, subresource, name) => {
  expect(requestInfo(method, target)).toMatchObject({
    isResourceRequest: true,
    verb,
    apiGroup,
    apiVersion,
    namespace,
    resource,
    subresource,
    name,
    apiPrefix: apiGroup === '' ? 'api' : 'apis',
  });
});

test.each([
  '/',
  '/api',
  '/api/',
  '/api/v1',
  '/api/v1/',
  '/apis',
  '/apis/apps',
  '/apis/apps/v1',
  '/apis/apps/v1/',
  '/apis/version/resource',
  '/other/v1/pods',
  '/version',
  '/openapi/v2',
  '/API/v1/pods',
])('%s is no resource request', (target) => {
  expect(requestInfo('GET', target)).toMatchObject({ isResourceRequest: false, verb: 'get', resource: '', parts: [] });
  expect(requestInfo('POST', target).verb).toBe('post');
});

describe('what is long running', () => {
  const pod = '/api/v1/namespaces/ns/pods/p';
  test.each([
    ['/api/v1/pods?watch=1', true],
    ['/api/v1/watch/pods', true],
    [`${pod}/exec?command=sh`, true],
    [`${pod}/attach`, true],
    [`${pod}/portforward`, true],
    [`${pod}/proxy/`, true],
    [`${pod}/log?follow=true`, true],
    [`${pod}/log?follow=false`, false],
    [`${pod}/log`, false],
    [pod, false],
    ['/api/v1/pods', false],
    ['/api/v1/namespaces/exec/pods', false],
    ['/version?watch=1', false],
    ['/debug/pprof/profile', true],
  ])('%s: %s', (target, expected) => {
    expect(requestInfo('GET', target).longRunning).toBe(expected);
  });
});

test('keeps selectors as written, and only where the API server honours them', () => {
  const selectors = 'fieldSelector=a%3Db&fieldSelector=c%3Dd&labelSelector=x%20in%20(y)';
  expect(requestInfo('GET', `/api/v1/pods?${selectors}`)).toMatchObject({
    fieldSelector: 'a=b',
    labelSelector: 'x in (y)',
  });
  expect(requestInfo('DELETE', `/api/v1/namespaces/ns/pods?${selectors}`)).toMatchObject({ fieldSelector: 'a=b' });
  expect(requestInfo('GET', `/api/v1/watch/pods?${selectors}`)).toMatchObject({ fieldSelector: '', labelSelector: '' });
  expect(requestInfo('GET', `/api/v1/namespaces/ns/pods/p?${selectors}`)).toMatchObject({ fieldSelector: '' });
});

test('decodes the path once', () => {
  expect(requestInfo('GET', '/api/v1/namespaces/ns/pods/%70%2570')).toMatchObject({ name: 'p%70' });
});

test.each([
  ['in its middle', `/a${'/'.repeat(32_000)}a`],
  ['below a proxy subresource', `/api/v1/namespaces/ns/pods/p/proxy${'/'.repeat(32_000)}a`],
  ['at its front', `${'/'.repeat(32_000)}a`],
  ['at its end', `/a${'/'.repeat(32_000)}`],
])('a path with tens of thousands of slashes %s costs no more than another one', (_where, target) => {
  expect(cpuMs(() => requestInfo('GET', target))).toBeLessThan(100);
});

test.each([
  ['///api/v1/pods///', 'list'],
  ['/api//v1/pods', 'get'],
  ['///', 'get'],
])('slashes at the edges of %s are none of its segments', (target, verb) => {
  expect(requestInfo('GET', target)).toMatchObject({ path: target, verb });
});
