import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clusterAudience, consoleClient } from '../../../../src/core/core.ts';
import type { SessionGrant } from '../../../../src/core/access/request.ts';
import type { AccessRole } from '../../../../src/core/access/role.ts';
import { SessionUnread } from '../../../../src/core/credential/credential.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { createAuthenticator } from '../../../../src/proxy/proxy.ts';
import type { Authenticate, Authentication } from '../../../../src/proxy/proxy.ts';
import { createRevocationGuard } from '../../../../src/revocation/guard.ts';
import type { RevocationGuard } from '../../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import type { SessionRecord, Store } from '../../../../src/store/store.ts';

const ISSUER = 'https://portcullis.test';
const AUDIENCE = clusterAudience('prod');
const THUMBPRINT = 'A'.repeat(43);
const ROLE: AccessRole = {
  name: 'admins',
  description: 'Everything.',
  groups: ['admins'],
  requesters: ['dev'],
  approval: 'none',
  longest: 60,
};
const GRANT = { id: 'g', role: 'admins', groups: ['admins'], endsAt: 0, leftMs: 60_000 };
const SESSION = { kind: 'session', session: 's' } as const;

describe('authentication', () => {
  let skew = 0;
  const clock = { nowMs: (): number => Date.now() + skew };
  let store: Store;
  let guard: RevocationGuard;
  let authenticate: Authenticate;
  let token: string;
  let signed: (claims: JWTPayload) => Promise<string>;
  /** What was granted to each session. */
  let grants: readonly SessionGrant[] | undefined;
  /** Runs while a session is being read. */
  let meanwhile: () => Promise<unknown>;
  let reads = 0;

  beforeEach(async () => {
    [skew, reads, grants] = [0, 0, undefined];
    meanwhile = () => Promise.resolve();
    store = createMemoryStore({ clock });
    guard = createRevocationGuard({
      log: store.log,
      stalenessSeconds: 2,
      replicaName: 'a',
      monotonicMs: () => performance.now(),
      clock,
      sessions: store.sessions,
      longestTokenSeconds: 600,
    });
    await guard.start();
    const keys = await generateKeyPair('ES256');
    const read = async (id: string): Promise<SessionRecord | undefined> => {
      reads += 1;
      const record = await store.sessions.read(id);
      await meanwhile();
      return record === undefined || grants === undefined ? record : { ...record, grants };
    };
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'ES256' };
    authenticate = createAuthenticator({
      guard,
      sessions: { read },
      issuer: ISSUER,
      keys: { keys: [jwk] },
      clock,
      unboundClients: new Set([consoleClient('dashboard')]),
      access: { roles: [ROLE], monotonicMs: () => performance.now() },
    });
    signed = (claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k' })
        .setIssuer(ISSUER)
        .setSubject('corp/alice')
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(keys.privateKey);
    await open('s', 60);
    const minted = await store.sessions.mint('s', { thumbprint: THUMBPRINT });
    const { epoch: ep, number: ln } = minted.ok ? minted.position : { epoch: '', number: 0 };
    token = await signed({ sid: 's', client_id: 'c', jti: 'j', ep, ln, cnf: { 'x5t#S256': THUMBPRINT } });
  });
  afterEach(() => guard.stop());

  const open = async (id: string, life: number): Promise<void> => {
    const now = Math.floor(Date.now() / 1000);
    await store.sessions.open(
      {
        id,
        account: 'corp/alice',
        provider: 'corp',
        subject: 'alice',
        client: 'c',
        identity: { username: 'corp:alice', uid: 'corp/alice', groups: ['dev'], extra: {} },
        createdAt: now,
        expiresAt: now + life,
        idleSeconds: 3600,
        address: '',
        userAgent: '',
        startedAt: await store.log.position(),
      },
      {},
    );
  };
  const ask = async (thumbprint: string | undefined = THUMBPRINT): Promise<Authentication> =>
    authenticate({ token, audience: AUDIENCE, thumbprint });

  it('knows a caller that is cached in the same tick', async () => {
    await ask();
    expect(authenticate({ token, audience: AUDIENCE, thumbprint: THUMBPRINT })).toMatchObject({ ok: true });
  });

  it('establishes the caller, and reads the session once', async () => {
    expect(await ask()).toMatchObject({
      ok: true,
      value: { identity: { username: 'corp:alice' }, credential: { session: 's' } },
    });
    await ask();
    expect(reads).toBe(1);
  });

  it('rejects when the session is revoked while it is being read', async () => {
    meanwhile = async () => {
      if (reads === 1) await guard.revoke({ target: SESSION });
    };
    expect(await ask()).toEqual({ ok: false, reason: 'session_revoked' });
  });

  it('rejects when the replica is fenced while the session is being read', async () => {
    meanwhile = () => guard.stop();
    expect(await ask()).toEqual({ ok: false, reason: 'fenced' });
  });

  it('does not read the session for a client that does not hold the key', async () => {
    expect(await ask('B'.repeat(43))).toEqual({ ok: false, reason: 'certificate_mismatch' });
    expect(await authenticate({ token, audience: AUDIENCE, thumbprint: undefined })).toEqual({
      ok: false,
      reason: 'certificate_missing',
    });
    expect(reads).toBe(0);
  });

  it('does not read a session that the guard rejects already', async () => {
    await guard.revoke({ target: SESSION });
    expect(await ask()).toEqual({ ok: false, reason: 'session_revoked' });
    expect(reads).toBe(0);
  });

  it('rejects a session that has reached its end although it is cached', async () => {
    expect(await ask()).toMatchObject({ ok: true });
    skew = 61_000;
    expect(await ask()).toEqual({ ok: false, reason: 'session_expired' });
  });

  it('names the session that the store could not read, and for no other failure', async () => {
    meanwhile = () => Promise.reject(new AppError('store_unavailable', 'The store does not answer.'));
    const unread = await ask().catch((thrown: unknown) => thrown);
    expect(unread).toBeInstanceOf(SessionUnread);
    expect(unread).toMatchObject({ code: 'store_unavailable', credential: { session: 's', account: 'corp/alice' } });
    meanwhile = () => Promise.reject(new Error('sealed by another key'));
    await expect(ask()).rejects.not.toBeInstanceOf(SessionUnread);
    await expect(ask('B'.repeat(43))).resolves.toEqual({ ok: false, reason: 'certificate_mismatch' });
  });

  it('gives a web console’s token what was granted to the browser’s session, until its end', async () => {
    grants = [GRANT];
    await open('browser', 60);
    const { epoch: ep, number: ln } = await store.log.position();
    const client_id = consoleClient('dashboard');
    const unbound = await signed({ sid: 'browser', client_id, jti: 'k', ep, ln });
    const judged = await authenticate({ token: unbound, audience: AUDIENCE, thumbprint: undefined });
    expect(judged).toMatchObject({ ok: true, value: { identity: { groups: ['dev', 'admins'] }, grants: [GRANT] } });
    await guard.revoke({ target: { kind: 'grant', grant: 'g', session: 'browser' } });
    const after = await authenticate({ token: unbound, audience: AUDIENCE, thumbprint: undefined });
    expect(after).toMatchObject({ ok: true, value: { identity: { groups: ['dev'] } } });
  });

  it('leaves a caller without grants as it is', async () => {
    const judged = await ask();
    const kept = { ok: true, value: { identity: { groups: ['dev'] } } };
    expect(judged).toMatchObject(kept);
    expect(judged.ok && Object.keys(judged.value)).not.toContain('grants');
    expect(judged.ok && judged.value.credential.keys.grants).toBeUndefined();
  });

  it('checks the audience of a cached token as well', async () => {
    await ask();
    expect(await authenticate({ token, audience: clusterAudience('dev'), thumbprint: THUMBPRINT })).toEqual({
      ok: false,
      reason: 'wrong_audience',
    });
  });
});
