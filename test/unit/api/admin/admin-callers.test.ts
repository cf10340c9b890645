import 'reflect-metadata';
import { createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { X509Certificate, createHash, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_AUDIENCE } from '../../../../src/core/core.ts';
import { SessionUnread, type Caller } from '../../../../src/core/credential/credential.ts';
import { AppError } from '../../../../src/core/errors.ts';
import type { Account } from '../../../../src/core/identity/identity.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import { cookiesOf } from '../../web/cookies.ts';
import { annotation, browserAt, closeStages, openStage, openSession, signIn, type Stage } from '../../web/harness.ts';
import { users } from '../../web/test-provider.ts';
import { ADMIN_API } from '../../../../src/core/api/admin-operations.ts';
import { operationsOf } from '../../../../src/core/api/operation.ts';

afterEach(closeStages);

describe('the admin API for programs', () => {
  interface Client {
    readonly key: string;
    readonly cert: string;
    readonly thumbprint: string;
  }

  let server: Server;
  let stage: Stage;
  let [mine, another]: Client[] = [];

  async function selfSigned(name: string): Promise<Client> {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=${name}`,
      keys,
      signingAlgorithm: algorithm,
    });
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
    const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`;
    const cert = certificate.toString('pem');
    const thumbprint = createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url');
    return { key, cert, thumbprint };
  }

  beforeAll(async () => {
    const own = await selfSigned('localhost');
    [mine, another] = [await selfSigned('mine'), await selfSigned('another')];
    const tls = { key: own.key, cert: own.cert, requestCert: true, rejectUnauthorized: false };
    server = createServer(tls, (req, res) => stage.web.adminApi(req, res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });

  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  function call(options: {
    readonly path?: string;
    readonly method?: string;
    readonly headers?: Record<string, string | string[]>;
    readonly client?: Client | undefined;
    readonly body?: object;
  }): Promise<{ status: number; headers: Record<string, unknown>; body: { code?: string; heldUntil?: string } }> {
    const { port } = server.address() as AddressInfo;
    const { key, cert } = options.client ?? {};
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port,
          path: options.path ?? '/-/admin/api/v1/sessions',
          method: options.method ?? 'GET',
          rejectUnauthorized: false,
          agent: false,
          headers: { 'Content-Type': 'application/json', ...options.headers },
          ...(key === undefined || cert === undefined ? {} : { key, cert }),
        },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (chunk: Buffer) => chunks.push(chunk));
          res.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: res.statusCode ?? 0, headers: res.headers, body: JSON.parse(text) as { code?: string } });
          });
        },
      );
      sent.on('error', reject);
      sent.end(options.body === undefined ? undefined : JSON.stringify(options.body));
    });
  }

  /** Returns a caller as the data plane's authenticator does, for a session in the store. */
  async function callerFor(who: string, change: Partial<Caller['credential']> = {}): Promise<void> {
    const user = users[who];
    const { position } = stage.guard;
    if (user === undefined || position === undefined || mine === undefined) throw new Error('not ready');
    await openSession(stage, `${who}-cli`, who, change.account);
    const owner = { session: `${who}-cli`, account: `corp/${user.subject}` as Account, provider: 'corp' };
    const credential = {
      ...owner,
      keys: coveringKeys(owner),
      tokenId: 'jti',
      audience: ADMIN_AUDIENCE,
      client: 'portcullis-cli',
      issuedAt: 0,
      expiresAt: 0,
      position,
      thumbprint: mine.thumbprint,
      ...change,
    };
    stage.callers.set(`token-of-${who}`, {
      credential,
      identity: user.identity,
      sessionExpiresAt: 0,
      sessionIdleAt: 0,
      authTime: Math.floor(stage.clock.nowMs() / 1000),
    });
  }

  const bearer = (who: string): Record<string, string> => ({ Authorization: `Bearer token-of-${who}` });

  test('an admin with a bound token reads and revokes', async () => {
    stage = await openStage();
    await callerFor('root');
    await openSession(stage, 'alice-1', 'alice');
    expect((await call({ headers: bearer('root'), client: mine })).status).toBe(200);
    const path = '/-/admin/api/v1/revocations';
    const body = { session: 'alice-1', reason: 'INC-4711' };
    const response = await call({ path, method: 'POST', headers: bearer('root'), client: mine, body });
    expect(response).toMatchObject({ status: 200, body: { complete: true, sessions: 1 } });
    const [event] = stage.named('revocation');
    expect(event).toMatchObject({ requestURI: path, user: { username: 'corp:root@example.com' } });
    expect(annotation(event, 'reason')).toBe('INC-4711');
  });

  test.each([
    ['without a token', {}, 'no_token', () => mine],
    ['with Basic', { Authorization: 'Basic cm9vdDpyb290' }, 'no_token', () => mine],
    ['with two tokens', { Authorization: ['Bearer token-of-root', 'Bearer x'] }, 'no_token', () => mine],
    ['with a foreign token', { Authorization: 'Bearer eyJ.eyJ.x' }, 'foreign_token', () => mine],
    ['without a certificate', bearer('root'), 'certificate_missing', () => undefined],
    ['with another certificate', bearer('root'), 'certificate_mismatch', () => another],
  ])('a call %s is 401', async (_what, headers, reason, client) => {
    stage = await openStage();
    await callerFor('root');
    const response = await call({ headers, client: client() });
    expect(response).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    expect(response.headers['www-authenticate']).toBe('Bearer');
    expect(annotation(stage.named('admin-refused')[0], 'reason')).toBe(reason);
    expect(JSON.stringify([stage.events, response.body])).not.toContain('token-of-root');
  });

  test('a token for a cluster is 401, and so is an unbound token', async () => {
    stage = await openStage();
    await callerFor('root', { audience: 'urn:portcullis:cluster:prod' });
    expect((await call({ headers: bearer('root'), client: mine })).status).toBe(401);
    stage = await openStage();
    await callerFor('root');
    const caller = stage.callers.get('token-of-root');
    if (caller === undefined) throw new Error('no caller');
    const { thumbprint: _unbound, ...credential } = caller.credential;
    stage.callers.set('token-of-root', { ...caller, credential });
    expect((await call({ headers: bearer('root'), client: mine })).status).toBe(401);
  });

  test('the roles are the same as for browsers', async () => {
    stage = await openStage();
    for (const who of ['alice', 'auditor']) await callerFor(who);
    expect((await call({ headers: bearer('alice'), client: mine })).status).toBe(403);
    expect((await call({ headers: bearer('auditor'), client: mine })).status).toBe(200);
    const remove = { path: '/-/admin/api/v1/sessions/alice-cli', method: 'DELETE', client: mine };
    expect((await call({ ...remove, headers: bearer('auditor') })).status).toBe(403);
  });

  test('a workload of role drill starts drills and nothing else, with an admin group or without', async () => {
    stage = await openStage({ config: { workload: [{ name: 'probe', role: 'drill', clusters: [] }] } });
    await callerFor('root', { account: 'probe/sa:monitoring' });
    const as = { headers: bearer('root'), client: mine };
    const body = { reason: 'probe', all: true, account: 'corp/sub-alice' };
    for (const path of ['sessions', 'locks', 'replicas', 'revocations/x', 'sessions/root-cli']) {
      expect((await call({ ...as, path: `/-/admin/api/v1/${path}` })).status).toBe(403);
    }
    for (const path of ['revocations', 'locks']) {
      expect((await call({ ...as, path: `/-/admin/api/v1/${path}`, method: 'POST', body })).status).toBe(403);
    }
    for (const path of ['sessions/root-cli', 'locks/corp%2Fx?reason=x']) {
      expect((await call({ ...as, path: `/-/admin/api/v1/${path}`, method: 'DELETE' })).status).toBe(403);
    }
    expect(new Set(stage.named('admin-refused').map((event) => annotation(event, 'reason')))).toEqual(
      new Set(['drill_only']),
    );
    const drills = { ...as, path: '/-/admin/api/v1/drills', method: 'POST' };
    expect((await call({ ...drills, body: {} })).status).toBe(400);
    stage = await openStage({ config: { workload: [{ name: 'probe', role: 'none', clusters: [] }] } });
    await callerFor('root', { account: 'probe/sa:monitoring' });
    expect((await call({ ...drills, body: { reason: 'x' } })).status).toBe(403);
  });

  test('a revoked admin is rejected although the authenticator still accepts them', async () => {
    stage = await openStage();
    await callerFor('root');
    await stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-root' } });
    expect((await call({ headers: bearer('root'), client: mine })).status).toBe(401);
    expect(annotation(stage.named('admin-refused')[0], 'reason')).toBe('session_revoked');
    const change = { method: 'POST', headers: bearer('root'), client: mine, body: { all: true, reason: 'revenge' } };
    expect((await call({ ...change, path: '/-/admin/api/v1/revocations' })).status).toBe(401);
    expect(stage.named('revocation')).toHaveLength(0);
  });

  describe('while no session can be read', () => {
    /** By the clock of the stage. */
    const NOW = Date.parse('2026-11-25T12:00:00Z') / 1000;

    /** Opens a stage whose authenticator finds each token valid, but cannot read its session. */
    async function unreadStage(): Promise<void> {
      const unavailable = new AppError('store_unavailable', 'The store does not respond.');
      stage = await openStage({
        change: (deps) => ({
          ...deps,
          async authenticate(question) {
            const outcome = await deps.authenticate(question);
            if (outcome.ok) throw new SessionUnread(outcome.value.credential, unavailable);
            return outcome;
          },
        }),
      });
    }

    const revoke = (client: Client | undefined = mine) =>
      call({
        path: '/-/admin/api/v1/revocations',
        method: 'POST',
        headers: bearer('root'),
        client,
        body: { session: 'alice-1', reason: 'INC-4711' },
      });

    const isHeld = (): boolean => {
      const owner = { session: 'alice-1', account: 'corp/sub-alice', provider: 'corp' } as const;
      const { position } = stage.guard;
      if (position === undefined) throw new Error('not ready');
      return stage.guard.check({ keys: coveringKeys(owner), position }) !== undefined;
    };

    test('an admin may have a target held, and is audited with the account of the token', async () => {
      await unreadStage();
      await callerFor('root', { wasAdmin: true, authTime: NOW });
      expect(await revoke()).toMatchObject({
        status: 503,
        body: { code: 'revocation_not_written', heldUntil: '2026-11-25T12:15:00Z' },
      });
      expect(isHeld()).toBe(true);
      const [event] = stage.named('revocation');
      expect(event).toMatchObject({ user: { username: 'corp/sub-root', uid: 'corp/sub-root' } });
      expect(annotation(event, 'held-until')).toBe('2026-11-25T12:15:00Z');
    });

    const others = operationsOf(ADMIN_API).filter(([, { holds }]) => holds !== true);
    test.each(others)('an admin may not %s', async (_name, { method, path }) => {
      await unreadStage();
      await callerFor('root', { wasAdmin: true, authTime: NOW });
      const body = method === 'POST' ? { body: {} } : {};
      const there = { path: `/-/admin/api/v1${path.replace(/[{}]/g, '')}`, method, ...body };
      expect(await call({ ...there, headers: bearer('root'), client: mine })).toMatchObject({
        status: 503,
        body: { code: 'store_unavailable' },
      });
    });

    test.each([
      ['whose sign-in is too old', { wasAdmin: true, authTime: 0 }, 'fresh_sign_in_needed'],
      ['whose token does not say when they signed in', { wasAdmin: true }, 'fresh_sign_in_needed'],
      ['whose token does not say that they are one', { authTime: NOW }, 'store_unavailable'],
      [
        'with a token for a cluster',
        { wasAdmin: true, authTime: NOW, audience: 'urn:portcullis:cluster:prod' },
        'unauthenticated',
      ],
      [
        'with a token for another key',
        { wasAdmin: true, authTime: NOW, thumbprint: 'A'.repeat(43) },
        'unauthenticated',
      ],
    ] as const)('an admin %s holds nothing', async (_who, change, code) => {
      await unreadStage();
      await callerFor('root', change);
      expect((await revoke()).body.code).toBe(code);
      expect(isHeld()).toBe(false);
    });
  });

  test('a cookie is ignored', async () => {
    stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'root');
    const cookie = cookiesOf(browser);
    expect((await call({ headers: { Cookie: cookie }, client: mine })).status).toBe(401);
  });

  test('other paths are 404 with a problem document', async () => {
    stage = await openStage();
    expect(await call({ path: '/-/admin/api/v2/sessions', client: mine })).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
  });
});
