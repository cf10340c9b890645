import { expect, it } from 'vitest';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { mayChange } from '../../../../src/core/audit/write-ahead.ts';

const SELF_REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

it.each([
  ['a dry run', 'POST', '/api/v1/namespaces/a/pods?dryRun=All', true],
  ['a method that has no verb', 'OPTIONS', '/api/v1/namespaces/a/pods', true],
  ['a GET through a service', 'GET', '/api/v1/namespaces/a/services/web/proxy/reboot', true],
  ['a GET through a pod, in the old form', 'GET', '/api/v1/proxy/namespaces/a/pods/web/reboot', true],
  ['a review', 'POST', '/apis/authorization.k8s.io/v1/namespaces/a/localsubjectaccessreviews', false],
  ['a review that has a name', 'PUT', `${SELF_REVIEWS}/one`, true],
  ['what lies below a review', 'POST', `${SELF_REVIEWS}/one/two`, true],
  ['a review of another group', 'POST', '/apis/example.com/v1/selfsubjectaccessreviews', true],
  ['a watch', 'GET', '/api/v1/pods?watch=1', false],
  ['a HEAD', 'HEAD', '/api/v1/pods', false],
  ['a GET of no resource', 'GET', '/metrics', false],
] as const)('%s', (_what, method, target, expected) => {
  const info = requestInfo(method, target);
  expect(mayChange({ method, upgrade: false, info })).toBe(expected);
  // Whatever is spoken after an upgrade is not read here.
  expect(mayChange({ method, upgrade: true, info })).toBe(true);
});
