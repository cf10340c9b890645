import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AppError } from '../../src/core/errors.ts';
import type { IdentityProvider } from '../../src/idp/idp.ts';
import { createLogger } from '../../src/telemetry/telemetry.ts';
import { startHostileProvider, type HostileProvider, type Lies, type Reply } from '../support/hostile-provider.ts';
import { comeBack, goThere, openPages, start } from '../support/two-providers.ts';
import { CALLBACK } from '../support/vendor-idp.ts';
import { rejection, vendor } from '../support/vendors.ts';

const CHALLENGE = { 'www-authenticate': 'Basic realm="token", error="invalid_client"' };
const said = (status: number, body: object, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  body: JSON.stringify(body),
  headers,
});

let server: HostileProvider;
beforeEach(async () => {
  server = await startHostileProvider();
});
afterEach(() => server.close());

const NAMED = { mapping: { username: 'claims.preferred_username' } };
const provider = (): IdentityProvider => vendor(server.issuer, { type: 'oidc' }, NAMED);

async function finish(corp: IdentityProvider, lies: Lies): Promise<unknown> {
  const { url, challenge } = await corp.begin();
  const back = await goThere(url);
  server.lie(lies);
  const callback = new URL(CALLBACK);
  callback.search = back.search;
  return corp.finish(callback, challenge);
}

/** The line that the operator reads. */
function logged(error: AppError): { readonly line: string; readonly cause: Record<string, unknown> } {
  const lines: string[] = [];
  createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } }).error({ err: error }, 'x');
  const line = lines.join('');
  const { err } = JSON.parse(line) as { err: { cause: Record<string, unknown> } };
  return { line, cause: err.cause };
}

describe('a client that the provider rejects', () => {
  const rows: readonly (readonly [string, Reply])[] = [
    ['401 with a challenge (RFC 6749 §5.2)', said(401, { error: 'invalid_client' }, CHALLENGE)],
    ['401 without one', said(401, { error: 'invalid_client' })],
    ['401 with a challenge and no body', { status: 401, body: '', headers: CHALLENGE }],
    ['403 unauthorized_client', said(403, { error: 'unauthorized_client' })],
    ['400 unauthorized_client', said(400, { error: 'unauthorized_client' })],
    ['401 access_denied', said(401, { error: 'access_denied', error_description: 'Unauthorized' })],
  ];
  it.each(rows)('is reported as such by %s, at a sign-in and at a re-check', async (_name, reply) => {
    const expected = { code: 'provider_unavailable', reason: 'provider_client_refused' };
    expect(await rejection(finish(provider(), { token: () => reply }))).toMatchObject(expected);
    expect(await rejection(provider().recheck('42', 'rt-1'))).toMatchObject(expected);
  });

  it('is not the cause where UserInfo rejects the access token', async () => {
    const lies: Lies = {
      replies: { '/userinfo': said(401, {}, { 'www-authenticate': 'Bearer error="invalid_token"' }) },
    };
    expect(await rejection(finish(provider(), lies))).toMatchObject({ reason: 'provider_answer_invalid' });
  });
});

describe('the cause of an error, in the log', () => {
  it('has the code and the description of a sign-in that the provider sends back', async () => {
    const visit = await openPages({ corp: server.issuer });
    const callback = await goThere(await start(visit));
    const [code, state] = ['code', 'state'].map((name) => callback.searchParams.get(name) ?? '');
    callback.searchParams.delete('code');
    callback.searchParams.set('error', 'server_error');
    const hostile = `user 42 is unknown\u001b[2J\r\nlevel=info forged\u202e; state ${state ?? ''}`;
    callback.searchParams.set('error_description', hostile);
    await comeBack(visit, callback);
    const facts = visit.stage.logged.find((fields) => 'err' in fields) as { err: AppError };
    const { line, cause } = logged(facts.err);
    expect(cause).toMatchObject({
      error: 'server_error',
      error_description: 'user 42 is unknown [2J level=info forged ; state …',
    });
    expect(line).not.toContain(state);
    expect(line).not.toContain(code);
  });

  it('has them where the provider rejects the user there', async () => {
    const visit = await openPages({ corp: server.issuer });
    const callback = await goThere(await start(visit));
    callback.searchParams.delete('code');
    callback.searchParams.set('error', 'access_denied');
    callback.searchParams.set('error_description', 'not assigned to this application');
    await comeBack(visit, callback);
    const facts = visit.stage.logged.find((fields) => 'err' in fields) as { err: AppError };
    expect(logged(facts.err).cause).toMatchObject({
      error: 'access_denied',
      error_description: 'not assigned to this application',
    });
  });

  it.each<readonly [string, (code: string) => Reply, object]>([
    [
      'an error in the body',
      (code) =>
        said(400, { error: 'invalid_request', error_description: `no such code: ${code}`, access_token: 'canary' }),
      { status: 400, error: 'invalid_request', error_description: 'no such code: …' },
    ],
    [
      'a challenge',
      (code) => said(401, { error: 'invalid_client', error_description: `bad secret, code ${code}` }, CHALLENGE),
      { status: 401, error: 'invalid_client', error_description: 'bad secret, code …' },
    ],
    [
      'JSON that is not called so',
      () => ({ ...said(503, { error: 'down', error_description: 'x'.repeat(5000) }), type: 'text/plain' }),
      { status: 503, error: 'down', error_description: `${'x'.repeat(200)}…` },
    ],
    ['a page', () => ({ status: 502, body: '<html>canary</html>', type: 'text/html' }), { status: 502 }],
  ])('has the status, code and description of %s', async (_name, reply, expected) => {
    const corp = provider();
    const { url, challenge } = await corp.begin();
    const back = await goThere(url);
    const code = back.searchParams.get('code') ?? '';
    server.lie({ token: () => reply(code) });
    const { line, cause } = logged(await rejection(corp.finish(new URL(CALLBACK + back.search), challenge)));
    expect(cause).toMatchObject(expected);
    for (const secret of [code, challenge.state, challenge.codeVerifier, 'canary']) expect(line).not.toContain(secret);
  });

  it('never has the refresh token, whatever the provider repeats of it', async () => {
    const description = 'unknown token a+b/c== or a%2Bb%2Fc%3D%3D';
    server.lie({ token: () => said(400, { error: 'invalid_grant', error_description: description }) });
    const { line, cause } = logged(await rejection(provider().recheck('42', 'a+b/c==')));
    expect(cause).toMatchObject({ error: 'invalid_grant', error_description: 'unknown token … or …' });
    expect(line).not.toContain('a+b');
  });
});

describe('a provider that hangs', () => {
  const RESERVE_MS = 1_500;
  const ways: readonly (readonly [string, Lies])[] = [
    ['at discovery', { hangs: (path) => path.startsWith('/.well-known/') }],
    ['at the token endpoint', { hangs: (path) => path === '/token' }],
    ['at its keys', { hangs: (path) => path === '/jwks' }],
    ['at UserInfo', { hangs: (path) => path === '/userinfo' }],
    // Each response comes within the limit of one request, and all of them together do not.
    ['a little at each step', { slow: 1_900 }],
    [
      'when it is asked whether it is itself',
      { token: () => said(400, { error: 'invalid_request' }), hangs: (path) => path === '/jwks' },
    ],
  ];
  it('is abandoned after five seconds in all, at any step', { timeout: 30_000 }, async () => {
    const outcomes = await Promise.all(
      ways.map(async ([name, lies]) => {
        const hanging = await startHostileProvider();
        try {
          hanging.lie(lies);
          const began = performance.now();
          const error = await rejection(vendor(hanging.issuer, { type: 'oidc' }, NAMED).recheck('42', 'rt-1'));
          const took = performance.now() - began;
          return [name, error.reason, took > 4_500 && took < 5_000 + RESERVE_MS];
        } finally {
          await hanging.close();
        }
      }),
    );
    expect(outcomes).toEqual(ways.map(([name]) => [name, 'provider_unreachable', true]));
  });
});
