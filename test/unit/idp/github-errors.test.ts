import { describe, expect, it } from 'vitest';
import { githubStage, rejection } from './github-stage.ts';

const on = githubStage();

describe('a limit', () => {
  it.each([
    ['the hour’s quota', 403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'RESET' }, 600],
    ['too many at once, with a time', 429, { 'retry-after': '90' }, 90],
    ['too many at once, in message alone', 403, {}, 60],
    ['a time beyond belief', 429, { 'retry-after': '999999999' }, 3600],
  ])(
    'is an outage until a time that is said, and GitHub is left alone until then: %s',
    async (_name, status, headers, seconds) => {
      const { recheck } = await on.signedIn();
      const reset = String(Math.floor(on.now / 1000) + 600);
      const said = Object.fromEntries(
        Object.entries(headers).map(([key, value]) => [key, value.replace('RESET', reset)]),
      );
      on.github.instead.set('/user', {
        status,
        headers: said,
        body: { message: 'You have exceeded a secondary rate limit.' },
      });
      const error = await rejection(recheck());
      expect(error).toMatchObject({ code: 'provider_unavailable', reason: 'provider_rate_limited' });
      const time = new Date(on.now + seconds * 1000).toISOString().slice(11, 16);
      expect(error.message).toContain(`until ${time} UTC`);
      on.github.instead.clear();
      on.github.news();
      on.now += (seconds - 2) * 1000;
      expect((await rejection(recheck())).reason).toBe('provider_rate_limited');
      expect(on.github.news()).toEqual([]);
      on.now += 3000;
      expect((await recheck()).subject).toBe('583231');
    },
  );
});

describe('nonsense', () => {
  it.each([
    ['an answer that is not JSON', '/user', { status: 200, body: '<html>' }, 'provider_answer_invalid'],
    ['an id as a string', '/user', { status: 200, body: { id: '1', login: 'alice' } }, 'provider_answer_invalid'],
    [
      'an id that lost digits',
      '/user',
      { status: 200, body: { id: 2 ** 60, login: 'alice' } },
      'provider_answer_invalid',
    ],
    ['no login', '/user', { status: 200, body: { id: 1, login: null } }, 'provider_answer_invalid'],
    ['an object in the place of teams', '/user/teams', { status: 200, body: {} }, 'provider_answer_invalid'],
    [
      'a team without its organisation',
      '/user/teams',
      { status: 200, body: [{ id: 1, slug: 'a' }] },
      'provider_answer_invalid',
    ],
    [
      'a word on single sign-on that cannot be read',
      '/user/teams',
      { status: 200, headers: { 'x-github-sso': 'partial-results; organizations=all' }, body: [] },
      'provider_answer_invalid',
    ],
    ['a 403 without a word on why', '/user/teams', { status: 403, body: {} }, 'provider_error'],
    ['a 304 without a condition', '/user', { status: 304 }, 'provider_error'],
    ['a redirect', '/user', { status: 302, headers: { location: 'https://169.254.169.254/' } }, 'provider_error'],
    ['a server error', '/user', { status: 500, body: 'x' }, 'provider_error'],
    ['an answer without end', '/user', { status: 200, body: `"${'x'.repeat(1024 * 1024)}"` }, 'provider_unreachable'],
    [
      'a token answer that is not JSON',
      '/login/oauth/access_token',
      { status: 200, body: 'a=b' },
      'provider_answer_invalid',
    ],
    [
      'a token that is no bearer',
      '/login/oauth/access_token',
      { status: 200, body: { access_token: 'a', token_type: 'mac' } },
      'provider_answer_invalid',
    ],
  ])('is an outage: %s', async (_name, path, answer, reason) => {
    on.github.instead.set(path, answer);
    expect(await rejection(on.signIn(on.provider()))).toMatchObject({ code: 'provider_unavailable', reason });
  });

  it.each([
    ['another host', 'https://evil.example/api/v3/user/teams?page=2'],
    ['another port', 'https://localhost:1/api/v3/user/teams?page=2'],
    ['a path outside the API', 'https://HOST/login?page=2'],
    ['a path that climbs out of it', 'https://HOST/api/v3/../../login'],
    ['plain http', 'http://HOST/api/v3/user/teams?page=2'],
    ['itself', 'https://HOST/api/v3/user/teams?per_page=100'],
  ])('is a next page at %s: no token goes there', async (_name, next) => {
    const link = `<${next.replace('HOST', on.github.host)}>; rel="next"`;
    on.github.instead.set('/user/teams', { status: 200, headers: { link }, body: [] });
    const error = await rejection(on.signIn(on.provider()));
    expect(error).toMatchObject({ code: 'provider_unavailable', reason: 'provider_answer_invalid' });
    expect(on.github.news().filter((line) => !/user\/?(teams|memberships|$)|access_token/.test(line))).toEqual([]);
  });

  it('is a server without the right certificate', async () => {
    const gh = on.provider({ ca: () => '' });
    expect(await rejection(on.signIn(gh))).toMatchObject({
      code: 'provider_unavailable',
      reason: 'provider_unreachable',
    });
  });
});
