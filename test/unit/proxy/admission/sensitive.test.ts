import { expect, it } from 'vitest';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { sensitiveKind } from '../../../../src/proxy/request-audit.ts';

const PODS = '/api/v1/namespaces/default/pods/web';

it.each([
  ['POST', `${PODS}/exec?command=sh`, 'exec'],
  ['GET', `${PODS}/exec?command=sh`, 'exec'],
  ['GET', `${PODS}/attach`, 'exec'],
  ['POST', `${PODS}/portforward`, 'exec'],
  ['GET', '/api/v1/secrets', 'secrets'],
  ['GET', '/api/v1/namespaces/default/secrets/token', 'secrets'],
  ['GET', '/api/v1/namespaces/default/secrets?watch=1', 'secrets'],
  ['POST', '/api/v1/namespaces/default/secrets', undefined],
  ['DELETE', '/api/v1/namespaces/default/secrets/token', undefined],
  ['GET', `${PODS}/log`, undefined],
  ['GET', PODS, undefined],
  ['GET', '/apis/example.com/v1/secrets', undefined],
  ['GET', '/secrets', undefined],
] as const)('%s %s is %s', (method, target, kind) => {
  expect(sensitiveKind(requestInfo(method, target))).toBe(kind);
});
