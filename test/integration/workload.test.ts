import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Config } from '../../src/config/config.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance, type Settings, type TestInstance } from '../support/instance.ts';
import { OAuthClient, type Answer } from '../support/oauth-client.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from '../support/workload-issuer.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const DEMO = 'urn:portcullis:cluster:demo';
const ADMIN = 'urn:portcullis:admin';
const PODS = '/api/v1/namespaces/default/pods';
const SUBJECT = 'repo:example/shop:ref:refs/heads/main';
const now = (): number => Math.floor(Date.now() / 1000);

const rules = (issuer: string, ca: string): string => `
workload:
  - { name: ci, issuer: "${issuer}", caFile: ${ca}, clusters: [demo], life: 5m, match: 'claims.repository_owner == "example"',
      username: claims.repository, groups: 'claims.repository == "example/shop" ? ["developers"] : []', groupsPrefix: "demo:" }
  - { name: probe, issuer: "${issuer}", caFile: ${ca}, match: 'claims.repository_owner == "probes"', role: drill }
  - { name: rude, issuer: "${issuer}", caFile: ${ca}, match: 'claims.repository_owner == "rude"', clusters: [demo],
      username: '"system:admin"', usernamePrefix: "" }
  - { name: gone, issuer: "https://localhost:1", clusters: [demo], match: 'true' }
`;

const withSignIns =
  (signInsPerMinute: number) =>
  (config: Config): Config => ({ ...config, limits: { ...config.limits, signInsPerMinute } });

describe('a workload at the token endpoint', () => {
  let instance: TestInstance;
  let server: RunningServer;
  let issuer: WorkloadIssuer;
  let job: OAuthClient;
  let thief: OAuthClient;

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    issuer = await startWorkloadIssuer(instance.urls.web);
    const ca = join(instance.files.directory, 'issuer.crt');
    await writeFile(ca, issuer.ca);
    server = await instance.restart({
      file: (settings) => ({ ...settings, ...(parse(rules(issuer.issuer, ca)) as Settings) }),
      loaded: withSignIns(1000),
    });
    job = await instance.connect();
    thief = await instance.connect();
  });
  afterAll(async () => {
    await instance.stop();
    await issuer.close();
  });

  const exchange = (client: OAuthClient, subject_token: string, extra: Record<string, string> = {}): Promise<Answer> =>
    client.token({ client_id: 'workload', grant_type: EXCHANGE, subject_token, subject_token_type: JWT, ...extra });

  async function lastEvent(name: string): Promise<AuditEvent | undefined> {
    await server.audit.flush();
    return (await auditedBy(instance)).findLast(({ annotations }) => annotations['portcullis.dev/event'] === name);
  }

  const sessionOf = (answer: Answer): string => String(decodeJwt(String(answer.body['access_token']))['sid']);

  it('gets a bound token for its cluster, and acts there under the name that its rule gives it', async () => {
    const token = await issuer.token();
    const answer = await exchange(job, token);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(answer.body).toMatchObject({
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: 300,
      portcullis: {
        account: `ci/${SUBJECT}`,
        username: 'ci:example/shop',
        cluster: 'demo',
        groups: ['demo:developers'],
      },
    });
    expect(answer.body['refresh_token']).toBeUndefined();
    const accessToken = String(answer.body['access_token']);
    expect(decodeJwt(accessToken)).toMatchObject({ aud: DEMO, client_id: 'workload', sub: `ci/${SUBJECT}` });
    expect((await job.get(PODS, accessToken)).status).toBe(200);
    expect((await thief.get(PODS, accessToken)).status).toBe(401);
    expect(await lastEvent('workload-exchange')).toMatchObject({
      user: { username: 'ci:example/shop' },
      annotations: { 'portcullis.dev/account': `ci/${SUBJECT}`, 'portcullis.dev/provider': 'ci' },
    });
    expect(await readFile(instance.files.auditLog, 'utf8')).not.toContain(token);
  });

  it('ends with its token or with the lifetime of its rule, whichever is first', async () => {
    for (const [left, life] of [
      [100, 100],
      [3_000, 300],
    ] as const) {
      const answer = await exchange(job, await issuer.token({ exp: now() + left }));
      const session = await server.store.sessions.read(sessionOf(answer));
      expect((session?.expiresAt ?? 0) - (session?.createdAt ?? 0)).toBeGreaterThan(life - 5);
      expect((session?.expiresAt ?? 0) - (session?.createdAt ?? 0)).toBeLessThanOrEqual(life);
    }
  });

  it('may return with the same token and key, to the same session, also twenty times in parallel', async () => {
    const token = await issuer.token();
    const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(job, token)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(new Set(answers.map(sessionOf)).size).toBe(1);
    expect(sessionOf(await exchange(job, await issuer.token()))).not.toBe(sessionOf(answers[0] as Answer));
  });

  it('is rejected where another key sent the token first', async () => {
    const token = await issuer.token();
    expect((await exchange(job, token)).status).toBe(200);
    const answer = await exchange(thief, token);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    expect(answer.body['error_description']).toContain('another client certificate');
    expect((await lastEvent('workload-refused'))?.annotations['portcullis.dev/reason']).toBe('certificate_mismatch');
    expect((await exchange(job, token)).status).toBe(200);
  });

  // SPIRE's JWT-SVIDs have none unless a plugin adds it.
  it('may have a token without an id, which opens one session for one key all the same', async () => {
    const token = await issuer.token({ jti: undefined });
    const answers = [await exchange(job, token), await exchange(job, token)];
    expect(answers).toMatchObject([{ status: 200 }, { status: 200 }]);
    expect(new Set(answers.map(sessionOf)).size).toBe(1);
    expect((await exchange(thief, token)).status).toBe(400);
    expect((await lastEvent('workload-refused'))?.annotations['portcullis.dev/reason']).toBe('certificate_mismatch');
  });

  it('is given to exactly one of two keys that send the token at the same time', async () => {
    const token = await issuer.token();
    const answers = await Promise.all([job, thief, job, thief].map((client) => exchange(client, token)));
    const won = answers.map(({ status }) => status === 200);
    expect([won[0], won[1]]).toEqual([won[2], won[3]]);
    expect(won[0]).not.toBe(won[1]);
  });

  const spoilt: readonly (readonly [string, () => Promise<string>, string])[] = [
    ['has expired', () => issuer.token({ exp: now() - 120 }), 'subject_token_expired'],
    ['is not valid yet', () => issuer.token({ nbf: now() + 600 }), 'subject_token_not_yet_valid'],
    ['was issued tomorrow', () => issuer.token({ iat: now() + 86_400 }), 'subject_token_not_yet_valid'],
    ['is for another audience', () => issuer.token({ aud: 'https://other.example' }), 'subject_token_audience'],
    [
      'is for Portcullis and for another audience',
      () => issuer.token({ aud: [instance.urls.web, 'https://other.example'] }),
      'subject_token_audience',
    ],
    ['has no end', () => issuer.token({ exp: undefined }), 'subject_token_claims'],
    ['has an id that is no text', () => issuer.token({ jti: 7 }), 'subject_token_claims'],
    ['has an empty id', () => issuer.token({ jti: '' }), 'subject_token_claims'],
    ['has no time of issue', () => issuer.token({ iat: undefined }), 'subject_token_claims'],
    ['has no subject', () => issuer.token({ sub: undefined }), 'subject_token_claims'],
    ['has a subject with a line break', () => issuer.token({ sub: 'a\nb' }), 'subject_token_claims'],
    ['is of an unknown issuer', () => issuer.token({ iss: 'https://evil.example' }), 'issuer_unknown'],
    ['is of our own making', () => issuer.token({ iss: instance.urls.web }), 'issuer_unknown'],
    ['matches no rule', () => issuer.token({ repository_owner: 'mallory' }), 'no_rule_matches'],
    ['lacks what its rule asks for', () => issuer.token({ repository_owner: undefined }), 'no_rule_matches'],
    ['would be a name of Kubernetes’ own', () => issuer.token({ repository_owner: 'rude' }), 'username_reserved'],
    [
      'is signed with another key',
      async () => issuer.token({}, { key: (await generateKeyPair('RS256')).privateKey }),
      'subject_token_signature',
    ],
    [
      'names a key that is not published',
      () => issuer.token({}, { header: { kid: 'k2' } }),
      'subject_token_key_unknown',
    ],
    [
      'is signed with a shared secret',
      () => issuer.token({}, { header: { alg: 'HS256' }, key: new Uint8Array(32) }),
      'subject_token_algorithm',
    ],
    [
      'was changed on the way',
      async () => {
        const [header, , signature] = (await issuer.token()).split('.');
        const [, payload] = (await issuer.token({ repository: 'example/other' })).split('.');
        return [header, payload, signature].join('.');
      },
      'subject_token_signature',
    ],
    [
      'is unsigned',
      async () => `${btoa('{"alg":"none"}')}.${(await issuer.token()).split('.')[1]}.`,
      'subject_token_algorithm',
    ],
    ['is no token', async () => 'canary', 'subject_token_malformed'],
    [
      'has a header that is none',
      async () => ['x', ...(await issuer.token()).split('.').slice(1)].join('.'),
      'subject_token_malformed',
    ],
    ['is enormous', async () => issuer.token({ padding: 'x'.repeat(17_000) }), 'subject_token_too_large'],
  ];
  it.each(spoilt)(
    'is rejected where its token %s, with a reason in the audit log and the token nowhere',
    async (_n, make, reason) => {
      const token = await make();
      const answer = await exchange(job, token);
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
      expect(answer.body['access_token']).toBeUndefined();
      const event = await lastEvent('workload-refused');
      expect(event?.annotations['portcullis.dev/reason']).toBe(reason);
      const payload = token.split('.')[1] ?? token;
      expect(JSON.stringify([answer.body, event])).not.toContain(payload);
    },
  );

  it.each([
    ['no subject token', { subject_token: '' }],
    ['a SAML assertion', { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }],
    ['a refresh token wished for', { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }],
    ['an actor', { actor_token: 'x' }],
    ['two places', { resource: DEMO, audience: ADMIN }],
  ])('is rejected with %s', async (_name, extra) => {
    const answer = await exchange(job, await issuer.token(), extra);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
  });

  it('may name the kind of token that it is given', async () => {
    const answer = await exchange(job, await issuer.token(), { requested_token_type: ACCESS_TOKEN });
    expect(answer).toMatchObject({ status: 200, body: { issued_token_type: ACCESS_TOKEN } });
  });

  it('is rejected without a client certificate', async () => {
    const bare = new OAuthClient(job.endpoints, undefined);
    expect(await exchange(bare, await issuer.token())).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    });
    expect((await lastEvent('workload-refused'))?.annotations['portcullis.dev/reason']).toBe('certificate_missing');
    await bare.close();
  });

  it('may use no other grant, and the plugin’s client may not use this one', async () => {
    const form = { client_id: 'workload', grant_type: 'refresh_token', refresh_token: 'x' };
    expect((await job.token(form)).status).toBe(400);
    expect(await exchange(job, await issuer.token(), { client_id: 'portcullis-cli' })).toMatchObject({ status: 400 });
  });

  it.each([
    ['its rule does not name', { repository_owner: 'example' }, ADMIN],
    ['its rule does not name, by the other parameter', { repository_owner: 'probes' }, DEMO],
    ['there is not', { repository_owner: 'example' }, 'urn:portcullis:cluster:other'],
  ])('gets no token for an audience that %s', async (_name, claims, audience) => {
    for (const parameter of ['resource', 'audience']) {
      const answer = await exchange(job, await issuer.token(claims), { [parameter]: audience });
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    }
  });

  it('of role drill gets the admin audience, and that alone', async () => {
    const answer = await exchange(job, await issuer.token({ repository_owner: 'probes' }));
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(decodeJwt(String(answer.body['access_token'])).aud).toBe(ADMIN);
  });

  it('ends when its account is revoked, and the same token opens no session again', async () => {
    const claims = { sub: 'repo:example/revoked' };
    const token = await issuer.token(claims);
    const older = await issuer.token({ ...claims, iat: now() - 120 });
    const answer = await exchange(job, token);
    const accessToken = String(answer.body['access_token']);
    expect((await job.get(PODS, accessToken)).status).toBe(200);
    await server.guard.revoke({ target: { kind: 'account', account: 'ci/repo:example/revoked' } });
    expect((await job.get(PODS, accessToken)).status).toBe(401);
    for (const again of [token, older]) {
      expect(await exchange(job, again)).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    }
    expect((await lastEvent('workload-refused'))?.annotations['portcullis.dev/reason']).toBe('fresh_sign_in_needed');
    expect((await exchange(job, await issuer.token(claims))).status).toBe(200);
    expect((await exchange(job, await issuer.token())).status).toBe(200);
  });

  it('ends when its session is revoked, also for an attacker who kept the token', async () => {
    const token = await issuer.token({ sub: 'repo:example/one-session' });
    const session = sessionOf(await exchange(job, token));
    await server.guard.revoke({ target: { kind: 'session', session } });
    expect((await exchange(job, token)).status).toBe(400);
    expect((await exchange(thief, token)).status).toBe(400);
    expect(await server.store.sessions.read(session)).toBeUndefined();
  });

  it('is rejected while its account is locked', async () => {
    const account = 'ci/repo:example/locked' as const;
    const lock = { reason: 'INC-4711', by: 'root', at: now() };
    await server.guard.revoke({ target: { kind: 'account', account }, lock });
    const answer = await exchange(job, await issuer.token({ sub: 'repo:example/locked' }));
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    expect((await lastEvent('workload-refused'))?.annotations).toMatchObject({
      'portcullis.dev/reason': 'account_locked',
      'portcullis.dev/account': account,
    });
  });

  it('waits where its issuer is unavailable, and nothing is consumed', async () => {
    const token = await issuer.token({ iss: 'https://localhost:1' });
    const answer = await exchange(job, token);
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(answer.headers['retry-after']).toBe('1');
    expect((await lastEvent('workload-refused'))?.annotations['portcullis.dev/reason']).toBe('issuer_keys_unavailable');
  });

  it('is admitted whatever else comes from its address; only what is rejected too often waits, and is counted by its rule', async () => {
    const replica = await instance.replica({ loaded: withSignIns(2) });
    const client = await instance.connect({ at: replica });
    // What is good costs nothing, however much of it comes.
    for (let count = 0; count < 4; count += 1) expect((await exchange(client, await issuer.token())).status).toBe(200);
    expect((await exchange(client, await issuer.token({ repository_owner: 'rude' }))).status).toBe(400);
    expect((await exchange(client, 'canary')).status).toBe(400);
    const answer = await exchange(client, 'canary');
    expect(answer).toMatchObject({ status: 429, body: { error: 'temporarily_unavailable' } });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    await replica.audit.flush();
    expect((await lastEvent('workload-refused'))?.annotations['portcullis.dev/reason']).toBe('too_many_exchanges');
    // Another job with the same address.
    expect((await exchange(client, await issuer.token())).status).toBe(200);
    const metrics = await (await fetch(`http://127.0.0.1:${replica.ports.ops}/metrics`)).text();
    expect(metrics).toContain('portcullis_sign_ins_total{provider="ci",outcome="ok"} 5');
    expect(metrics).toContain('portcullis_sign_ins_total{provider="rude",outcome="refused"} 1');
    expect(metrics).toContain('portcullis_sign_ins_total{provider="unknown",outcome="refused"} 2');
    await replica.stop();
  });

  it('does not cost its issuer a request for each sign-in', () => {
    expect(issuer.asked.filter((path) => path === '/jwks').length).toBeLessThan(8);
  });
});
