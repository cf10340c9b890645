import { describe, expect, it } from 'vitest';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { lineFormat, responseHead } from '../../../../src/proxy/upstream/response-head.ts';
import { upgradeProtocol } from '../../../../src/proxy/streams/upgrade.ts';
import { parseServer } from '../../../../src/proxy/upstream/connect.ts';

const context = (target = '/api/v1/pods', left = 86_400, prefix = '') => ({
  admitted: { info: requestInfo('GET', target), prefix, target, impersonates: true, sessionExpiresAt: left },
  origin: 'https://api.test:6443',
  auditId: 'ours',
  publicUrl: 'https://p.test',
  nowSeconds: 0,
});

describe('the head of a response', () => {
  it('has our Audit-Id alone', () => {
    expect(responseHead(200, ['Audit-Id', 'theirs', 'X-A', 'b'], context())).toEqual({
      ok: true,
      value: ['X-A', 'b', 'Audit-Id', 'ours'],
    });
  });

  it.each([
    ['/x', '/x'],
    ['?continue=1', '/api/v1/pods?continue=1'],
    ['https://api.test:6443/y#z', '/y#z'],
    ['HTTPS://API.TEST:6443/y', '/y'],
    ['/debug/pprof/', '/debug/pprof/'],
    ['../../api/v1/namespaces/ns/services/web:80/proxy/', '/api/v1/namespaces/ns/services/web:80/proxy/'],
    ['/%2F/evil.test/x', '/%2F/evil.test/x'],
  ])('relays a redirect to %s as %s', (location, seen) => {
    const head = responseHead(302, ['Location', location], context());
    expect(head).toMatchObject({ ok: true, value: ['Location', seen, 'Audit-Id', 'ours'] });
  });

  it.each([
    'https://api.test/x',
    'http://api.test:6443/x',
    '//evil.test/x',
    'https://user@api.test:6443/x',
    'https://api.test:6443@evil.test/',
    'data:text/html,x',
    'https://[bad',
    '\\\\evil.test/x',
    // Two slashes at the front of a path are another host to its reader (RFC 3986 §4.2).
    '/.//evil.test/x',
    '/.\\/evil.test/x',
    '/%2e//evil.test/x',
    '/a/..//evil.test/x',
    '../../../..//evil.test/x',
    'https://api.test:6443//evil.test/x',
    // Our own endpoints are none of the cluster's paths, and a 307 takes method and body there.
    '/-/admin/api/v1/revocations',
    '/api/../-/oauth/token',
  ])('does not relay a redirect to %s', (location) => {
    expect(responseHead(307, ['Location', location], context())).toMatchObject({ ok: false, reason: { code: 502 } });
  });

  it('relays a redirect below the prefix that chose the cluster, wherever it climbs to', () => {
    const at = (location: string) =>
      responseHead(302, ['Location', location], context('/?x=1', 86_400, '/clusters/prod'));
    for (const [location, seen] of [
      ['/foo', '/clusters/prod/foo'],
      ['../../clusters/dev/api', '/clusters/prod/clusters/dev/api'],
      ['/-/oauth/token', '/clusters/prod/-/oauth/token'],
    ] as const) {
      expect(at(location)).toMatchObject({ ok: true, value: ['Location', seen, 'Audit-Id', 'ours'] });
    }
    expect(at('/.//evil.test/x')).toMatchObject({ ok: false, reason: { auditReason: 'foreign_redirect' } });
  });

  it('does not change the Location of a creation', () => {
    expect(responseHead(201, ['Location', 'https://elsewhere.test/'], context())).toMatchObject({
      ok: true,
      value: ['Location', 'https://elsewhere.test/', 'Audit-Id', 'ours'],
    });
  });

  it.each([
    [601, undefined],
    [600, '10 min'],
    [59, '1 min'],
    [0, undefined],
  ])('with %i s left of the session warns of %s', (left, text) => {
    const head = responseHead(200, [], context('/api/v1/pods', left));
    const warning = head.ok ? head.value[3] : '';
    expect(text === undefined ? warning === undefined : warning?.includes(text)).toBe(true);
  });
});

describe('the space for a termination notice', () => {
  const [watch, log, list] = ['/api/v1/pods?watch=1', '/api/v1/namespaces/a/pods/b/log?follow=true', '/api/v1/pods'];
  it.each([
    [watch, ['Content-Type', 'application/json'], 'events'],
    [watch, ['content-type', 'application/json;stream=watch'], 'events'],
    [watch, ['Content-Type', 'application/vnd.kubernetes.protobuf;stream=watch'], undefined],
    [watch, ['Content-Type', 'application/json', 'Content-Encoding', 'gzip'], undefined],
    [watch, ['Content-Type', 'application/json', 'Content-Length', '90'], undefined],
    [watch, ['Content-Type', 'application/json-seq'], undefined],
    [watch, ['Content-Type', 'text/plain'], undefined],
    [watch, [], undefined],
    [list, ['Content-Type', 'application/json'], undefined],
    [log, ['Content-Type', 'text/plain; charset=utf-8'], 'log'],
    [log, ['Content-Type', 'text/plain', 'Content-Encoding', 'gzip'], undefined],
    [log, ['Content-Type', 'text/plain', 'Content-Length', '90'], undefined],
    [log, ['Content-Type', 'application/json'], undefined],
    [log.replace('?follow=true', ''), ['Content-Type', 'text/plain'], undefined],
    ['/api/v1/namespaces/a/pods/b/proxy/log', ['Content-Type', 'text/plain'], undefined],
  ])('%s with %j: %s', (target, raw, expected) => {
    expect(lineFormat(requestInfo('GET', target), raw)).toBe(expected);
  });
});

describe('an upgrade', () => {
  it.each([
    ['GET', ['Upgrade', 'websocket'], 'websocket'],
    ['GET', ['upgrade', 'WebSocket'], 'websocket'],
    ['POST', ['Upgrade', 'SPDY/3.1'], 'spdy/3.1'],
    ['GET', ['Upgrade', 'SPDY/3.1', 'Content-Length', '0'], 'spdy/3.1'],
    ['POST', ['Upgrade', 'websocket'], undefined],
    ['GET', ['Upgrade', 'h2c'], undefined],
    ['GET', ['Upgrade', 'websocket', 'Upgrade', 'h2c'], undefined],
    ['GET', ['Upgrade', 'websocket, h2c'], undefined],
    ['PUT', ['Upgrade', 'SPDY/3.1'], undefined],
    ['POST', ['Upgrade', 'SPDY/3.1', 'Content-Length', '1'], undefined],
    ['POST', ['Upgrade', 'SPDY/3.1', 'Transfer-Encoding', 'chunked'], undefined],
    ['GET', [], undefined],
  ])('%s %j is %s', (method, raw, protocol) => {
    const judged = upgradeProtocol(method, raw);
    expect(judged.ok ? judged.value : undefined).toBe(protocol);
  });
});

describe('the address of an API server', () => {
  it.each([
    ['https://10.0.0.1:6443', { host: '10.0.0.1', port: 6443 }],
    ['https://api.test', { host: 'api.test', port: 443 }],
    ['https://[fd00::1]:6443/', { host: 'fd00::1', port: 6443 }],
  ])('%s is understood', (server, expected) => {
    expect(parseServer(server)).toMatchObject(expected);
  });

  it.each(['http://api.test', 'https://api.test/path', 'https://u:p@api.test', 'https://api.test/?x'])(
    '%s fails at the start',
    (server) => {
      expect(() => parseServer(server)).toThrow(/https/);
    },
  );
});
