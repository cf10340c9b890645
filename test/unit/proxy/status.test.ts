import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import type { ImpersonationRejection } from '../../../src/core/http/impersonation.ts';
import { rejectionBody, rejectionHeaders, statusBody } from '../../../src/proxy/status.ts';
import { impersonationRejection } from '../../../src/proxy/impersonation-rejections.ts';
import {
  auditBlocked,
  bodyTooLarge,
  clusterRejection,
  credentialRejection,
  draining,
  errorRejection,
  fenced,
  passthroughRejection,
  pathRejection,
  tooManyAtCluster,
  tooManyForUser,
  tooManyPending,
  tooManyReviews,
} from '../../../src/proxy/rejections.ts';
import type { Rejection } from '../../../src/proxy/status.ts';

const CONTEXT = { publicUrl: 'https://p.test' };

describe('a rejection as a Kubernetes Status', () => {
  it.each<[ErrorCode, number, string, Rejection['retry']]>([
    ['bad_request', 400, 'BadRequest', 'no'],
    ['not_found', 404, 'NotFound', 'no'],
    ['unauthenticated', 401, 'Unauthorized', 'no'],
    ['forbidden', 403, 'Forbidden', 'no'],
    ['conflict', 409, 'Conflict', 'no'],
    ['sign_in_refused', 403, 'Forbidden', 'no'],
    ['sign_in_expired', 401, 'Unauthorized', 'no'],
    ['provider_unavailable', 503, 'ServiceUnavailable', 'elsewhere'],
    ['store_unavailable', 503, 'ServiceUnavailable', 'elsewhere'],
    ['fenced', 503, 'ServiceUnavailable', 'elsewhere'],
    ['audit_unavailable', 503, 'ServiceUnavailable', 'elsewhere'],
    // Only ever thrown before anything is sent.
    ['upstream_unavailable', 503, 'ServiceUnavailable', 'later'],
    ['upstream_timeout', 504, 'Timeout', 'no'],
    ['internal', 500, 'InternalError', 'no'],
  ])('%s is %i %s', (code, status, reason, retry) => {
    const rejection = errorRejection(new AppError(code, 'do this', { reason: 'secret_reason' }));
    expect(rejection).toMatchObject({ code: status, reason, retry, message: 'do this', auditReason: 'secret_reason' });
    expect(rejectionHeaders(rejection).includes('Retry-After')).toBe(retry !== 'no');
    expect(JSON.stringify(statusBody(rejection))).not.toContain('secret_reason');
  });

  it('is a Status object', () => {
    expect(statusBody(impersonationRejection('impersonation_reserved_extra'))).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'extra keys under portcullis.dev/ are set by the proxy alone: leave them out',
      reason: 'Forbidden',
      code: 403,
    });
  });

  it('has the audit id if a user may have to ask what happened, because kubectl shows no header', () => {
    const bodyOf = (rejection: Rejection): unknown => statusBody(rejection, 'id-1')['message'];
    expect(bodyOf(credentialRejection('no_token', CONTEXT))).toMatch(/ \(audit id id-1\)$/);
    expect(bodyOf(tooManyForUser(400))).toMatch(/\b400\b.* \(audit id id-1\)$/);
    expect(bodyOf(fenced())).toMatch(/ \(audit id id-1\)$/);
    expect(bodyOf(pathRejection('dot_segment'))).not.toContain('id-1');
  });

  it('has Retry-After with a 429, and keeps the connection', () => {
    for (const rejection of [tooManyForUser(400), tooManyAtCluster(8000), tooManyReviews()]) {
      expect(statusBody(rejection)).toMatchObject({ code: 429, reason: 'TooManyRequests' });
      expect(rejectionHeaders(rejection).slice(-2)).toEqual(['Retry-After', '1']);
    }
  });

  it.each<[ImpersonationRejection, number]>([
    ['impersonation_header_unknown', 400],
    ['impersonation_without_user', 400],
    ['impersonation_repeated', 400],
    ['impersonation_malformed', 400],
    ['impersonation_reserved_extra', 403],
  ])('%s is %i', (reason, code) => {
    expect(impersonationRejection(reason)).toMatchObject({ code, auditReason: reason, retry: 'no' });
  });

  it('tells a service account no more about its token than any other client', () => {
    const bodies = (['passthrough_own_account', 'passthrough_not_accepted', 'passthrough_bound_token'] as const).map(
      (reason) => JSON.stringify(statusBody(passthroughRejection(reason, CONTEXT))),
    );
    expect(new Set([...bodies, JSON.stringify(statusBody(credentialRejection('foreign_token', CONTEXT)))]).size).toBe(
      1,
    );
  });

  // Of the reason in a WebSocket close frame, the rest is cut off: kubectl would end in the middle of the command to run.
  it('says what to do about the end of a grant in the 123 bytes that a WebSocket has for it', () => {
    const { message } = credentialRejection('grant_ended', CONTEXT);
    expect(message).toContain('portcullis access request');
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(123);
  });

  it('asks for a Bearer token with every 401, and for nothing else', () => {
    expect(rejectionHeaders(credentialRejection('no_token', CONTEXT))).toEqual(
      expect.arrayContaining(['WWW-Authenticate', 'Bearer']),
    );
    expect(rejectionHeaders(pathRejection('dot_segment'))).not.toContain('WWW-Authenticate');
  });

  it('sends a client that another replica can serve to another connection', () => {
    for (const rejection of [fenced(), draining(), auditBlocked(), credentialRejection('fenced', CONTEXT)]) {
      expect(rejection.code).toBe(503);
      expect(rejectionHeaders(rejection).slice(-4)).toEqual(['Retry-After', '1', 'Connection', 'close']);
    }
  });

  it('is the same for every token that is not a good one of ours', () => {
    const reasons = [
      'foreign_token',
      'token_expired',
      'wrong_audience',
      'certificate_mismatch',
      'token_unbound',
      'malformed_token',
    ] as const;
    const bodies = new Set(reasons.map((reason) => JSON.stringify(statusBody(credentialRejection(reason, CONTEXT)))));
    expect(bodies.size).toBe(1);
  });

  it('has the shape that clients of its path read', () => {
    const read = (target: string, about: Rejection): unknown => {
      const { type, body } = rejectionBody(target, about, 'id-1');
      return { type, ...(JSON.parse(body.toString()) as object) };
    };
    expect(read('/api', tooManyPending('all'))).toMatchObject({ type: 'application/json', kind: 'Status', code: 503 });
    expect(read('/-/oauth/token', tooManyPending('address'))).toEqual({
      type: 'application/json',
      error: 'temporarily_unavailable',
      error_description: 'too many requests to the endpoints under /-/ are open from this address; try again',
    });
    expect(read('/-/oauth/token', bodyTooLarge(9))).toMatchObject({ error: 'invalid_request' });
    expect(read('/-/access', tooManyPending('connection'))).toMatchObject({
      title: 'Too Many Requests',
      status: 429,
      code: 'too_many_requests',
      requestId: 'id-1',
    });
    expect(rejectionHeaders(tooManyPending('address'))).toEqual(expect.arrayContaining(['Retry-After', '1']));
  });

  it('distinguishes an unknown cluster from an invalid host', () => {
    expect(clusterRejection('cluster_unknown').code).toBe(404);
    expect(clusterRejection('host_conflict').code).toBe(400);
    expect(clusterRejection('host_invalid').code).toBe(400);
  });
});
