import { describe, expect, it } from 'vitest';
import { proofIn } from '../../../src/idp/auth-time.ts';

const NOW = 1_800_000_000;
const SKEW = 60;

/** @param idToken times of the provider's clock, which is `ahead` of ours */
const read = (idToken: { readonly auth_time: number; readonly iat?: number }, freshSince?: number, clockSkew = SKEW) =>
  proofIn('corp', idToken, { freshSince, nowMs: NOW * 1000, clockSkew });

describe('when a user authenticated', () => {
  it.each([
    ['as ours', 0],
    ['40 s ahead of ours', 40],
    ['40 s behind ours', -40],
  ])('is as long ago as the ID token says, where the clock of the provider is %s', (_what, ahead) => {
    expect(read({ iat: NOW + ahead, auth_time: NOW + ahead - 100 })).toBe(NOW - 100);
    expect(read({ iat: NOW + ahead, auth_time: NOW + ahead })).toBe(NOW);
  });

  it.each([
    ['is earlier than the sign-in', { iat: NOW - 300, auth_time: NOW - 40 }, NOW - 40],
    ['is absent', { auth_time: NOW - 40 }, NOW - 40],
    ['is earlier than clocks may differ by', { iat: NOW - 300, auth_time: NOW - 330 }, NOW - 330],
    ['is earlier than a sign-in that is ahead', { iat: NOW, auth_time: NOW + 30 }, NOW],
  ])('is by the provider’s clock alone where iat %s', (_what, idToken, expected) => {
    expect(read(idToken)).toBe(expected);
  });

  it('is no proof where it was before the request, whatever clocks may differ by', () => {
    expect(read({ iat: NOW, auth_time: NOW - 40 }, NOW - 30)).toEqual({ defect: 'stale', seen: String(NOW - 40) });
    expect(read({ iat: NOW, auth_time: NOW - 20 }, NOW - 30)).toBe(NOW - 20);
    // Each time is cut to a whole second.
    expect(read({ iat: NOW, auth_time: NOW - 32 }, NOW - 30)).toBe(NOW - 32);
  });
});
