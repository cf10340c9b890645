import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_TARGET_LENGTH, requestPath } from '../../../../src/core/request/request-path.ts';

const PROXY = '/api/v1/namespaces/ns/services/web:80/proxy';

describe('request targets that pass', () => {
  test.each([
    ['/', '/', ''],
    ['/api', '/api', ''],
    ['/api/', '/api/', ''],
    ['/apis/apps/v1/namespaces/ns/deployments?limit=500', '/apis/apps/v1/namespaces/ns/deployments', 'limit=500'],
    ['/api/v1/pods?', '/api/v1/pods', ''],
    [
      '/api/v1/namespaces/ns/pods/p/exec?command=%2Fbin%2Fsh&command=..%5C',
      '/api/v1/namespaces/ns/pods/p/exec',
      'command=%2Fbin%2Fsh&command=..%5C',
    ],
    [
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node',
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node',
      '',
    ],
    ['/api/v1/namespaces/ns/configmaps/a..b', '/api/v1/namespaces/ns/configmaps/a..b', ''],
    ['/.well-known/openid-configuration', '/.well-known/openid-configuration', ''],
    [`${PROXY}/`, `${PROXY}/`, ''],
    [`${PROXY}/a//b/`, `${PROXY}/a//b/`, ''],
    [`${PROXY}//a`, `${PROXY}//a`, ''],
    [`${PROXY}/caf%C3%A9`, `${PROXY}/caf%C3%A9`, ''],
    ['/api/v1/nodes/n/proxy//pods', '/api/v1/nodes/n/proxy//pods', ''],
  ])('%s', (target, path, query) => {
    expect(requestPath('GET', target)).toEqual({ ok: true, value: { target, path, query } });
  });
});

describe('request targets that are refused', () => {
  test.each([
    ['', 'empty_target'],
    ['*', 'asterisk_form'],
    ['https://host/api', 'absolute_form'],
    ['HTTP://host/api', 'absolute_form'],
    ['host:443', 'authority_form'],
    ['api/v1', 'authority_form'],
    ['//host/api', 'empty_segment'],
    ['/api//v1/pods', 'empty_segment'],
    ['/api/v1/pods//', 'empty_segment'],
    ['/api/v1//namespaces/ns/services/web/proxy/x', 'empty_segment'],
    ['/api/v1/proxy//x', 'empty_segment'],
    ['/proxy//x', 'empty_segment'],
    ['/api/./v1', 'dot_segment'],
    ['/api/../v1', 'dot_segment'],
    ['/..', 'dot_segment'],
    [`${PROXY}/../../../secrets`, 'dot_segment'],
    ['/api/%2e%2e/secrets', 'encoded_dot'],
    ['/api/%2E./secrets', 'encoded_dot'],
    [`${PROXY}/%2e%2e/x`, 'encoded_dot'],
    ['/api/v1%2fsecrets', 'encoded_slash'],
    ['/api/v1%2Fsecrets', 'encoded_slash'],
    ['/api/v1%5csecrets', 'encoded_backslash'],
    ['/api\\v1', 'backslash'],
    ['/api?a=\\', 'backslash'],
    ['/api#x', 'fragment'],
    ['/api?x#y', 'fragment'],
    ['/api/%00', 'encoded_control'],
    ['/api/%0d%0aHost:x', 'encoded_control'],
    ['/api/%7f', 'encoded_control'],
    ['/api/%', 'bad_percent_encoding'],
    ['/api/%2', 'bad_percent_encoding'],
    ['/api/%zz', 'bad_percent_encoding'],
    ['/api?a=%zz', 'bad_percent_encoding'],
    ['/api/%c3', 'bad_percent_encoding'],
    ['/api/%c0%ae', 'bad_percent_encoding'],
    ['/api/é', 'forbidden_character'],
    ['/api/ x', 'forbidden_character'],
    ['/api/\u0000', 'forbidden_character'],
    ['/api/\r\nHost: x', 'forbidden_character'],
    ['/api/\u2028', 'forbidden_character'],
    ['/api/"x"', 'forbidden_character'],
    [`/${'a'.repeat(MAX_TARGET_LENGTH)}`, 'target_too_long'],
  ])('%j: %s', (target, reason) => {
    expect(requestPath('GET', target)).toEqual({ ok: false, reason });
  });

  test('CONNECT, whatever its target', () => {
    expect(requestPath('CONNECT', '/api')).toEqual({ ok: false, reason: 'connect_method' });
    expect(requestPath('connect', 'host:443')).toEqual({ ok: false, reason: 'connect_method' });
  });
});

test('what passes is forwarded byte for byte and read alike by a second reader', () => {
  const piece = fc.constantFrom(
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '%2F',
    '%5C',
    '\\',
    '#',
    '?',
    '%',
    'api',
    'v1',
    'pods',
    'proxy',
    '%C3%A9',
    ';',
    '\u0000',
    'é',
    '=',
    '&',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const target = `/${pieces.join('')}`;
      const outcome = requestPath('GET', target);
      if (!outcome.ok) return;
      // WHATWG URL parsing resolves dots and turns backslashes; none of it may have anything to do.
      const url = new URL(`https://h${target}`);
      expect(outcome.value).toEqual({ target, path: url.pathname, query: url.search.slice(1) });
      expect(url.host).toBe('h');
    }),
    { numRuns: 2000 },
  );
});

test('more parameters than Go parses are refused, because an API server would act as if there were none', () => {
  const selected = '/api/v1/pods?fieldSelector=metadata.name=web';
  expect(requestPath('GET', selected + '&'.repeat(9_999)).ok).toBe(true);
  expect(requestPath('GET', selected + '&'.repeat(10_000))).toEqual({ ok: false, reason: 'too_many_parameters' });
});
