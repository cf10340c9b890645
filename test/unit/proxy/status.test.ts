import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import {
  auditBlocked,
  clusterRefusal,
  credentialRefusal,
  draining,
  errorRefusal,
  fenced,
  impersonationRefusal,
  pathRefusal,
  refusalHeaders,
  statusBody,
} from '../../../src/proxy/status.ts';

const WORDS = { publicUrl: 'https://p.test' };

describe('a refusal in Kubernetes’ words', () => {
  it.each<[ErrorCode, number, string, boolean]>([
    ['bad_request', 400, 'BadRequest', false],
    ['not_found', 404, 'NotFound', false],
    ['unauthenticated', 401, 'Unauthorized', false],
    ['forbidden', 403, 'Forbidden', false],
    ['conflict', 409, 'Conflict', false],
    ['sign_in_refused', 403, 'Forbidden', false],
    ['sign_in_expired', 401, 'Unauthorized', false],
    ['provider_unavailable', 503, 'ServiceUnavailable', true],
    ['store_unavailable', 503, 'ServiceUnavailable', true],
    ['fenced', 503, 'ServiceUnavailable', true],
    ['audit_unavailable', 503, 'ServiceUnavailable', true],
    // A request that may have been dialled carries no Retry-After of ours: client-go would repeat a POST.
    ['upstream_unavailable', 502, 'ServiceUnavailable', false],
    ['upstream_timeout', 504, 'Timeout', false],
    ['internal', 500, 'InternalError', false],
  ])('%s is %i %s', (code, status, reason, retry) => {
    const refusal = errorRefusal(new AppError(code, 'do this', { reason: 'secret_reason' }));
    expect(refusal).toMatchObject({ code: status, reason, retry, message: 'do this', auditReason: 'secret_reason' });
    expect(refusalHeaders(refusal).includes('Retry-After')).toBe(retry);
    expect(JSON.stringify(statusBody(refusal))).not.toContain('secret_reason');
  });

  it('is a Status object', () => {
    expect(statusBody(impersonationRefusal('alice'))).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'User "alice" cannot impersonate anybody through this gate: leave out --as, --as-group and --as-uid',
      reason: 'Forbidden',
      code: 403,
    });
  });

  it('asks for a Bearer token with every 401, and for nothing else', () => {
    expect(refusalHeaders(credentialRefusal('no_token', WORDS))).toEqual(
      expect.arrayContaining(['WWW-Authenticate', 'Bearer']),
    );
    expect(refusalHeaders(pathRefusal('dot_segment'))).not.toContain('WWW-Authenticate');
  });

  it('sends who can be served elsewhere to another connection', () => {
    for (const refusal of [fenced(), draining(), auditBlocked(), credentialRefusal('fenced', WORDS)]) {
      expect(refusal.code).toBe(503);
      expect(refusalHeaders(refusal).slice(-4)).toEqual(['Retry-After', '1', 'Connection', 'close']);
    }
  });

  it('says the same for every token that is not a good one of ours', () => {
    const reasons = [
      'foreign_token',
      'token_expired',
      'wrong_audience',
      'certificate_mismatch',
      'token_unbound',
      'malformed_token',
    ] as const;
    const said = new Set(reasons.map((reason) => JSON.stringify(statusBody(credentialRefusal(reason, WORDS)))));
    expect(said.size).toBe(1);
  });

  it('tells an unknown cluster from a host that is none', () => {
    expect(clusterRefusal('cluster_unknown').code).toBe(404);
    expect(clusterRefusal('host_conflict').code).toBe(400);
    expect(clusterRefusal('host_invalid').code).toBe(400);
  });
});
