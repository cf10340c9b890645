import { createHash } from 'node:crypto';
import { decodeJwt, exportJWK, importJWK, SignJWT, type JWTPayload } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSigningKeys } from '../../src/config/keys.ts';
import type { Answer } from '../support/oauth-client.ts';
import {
  DEMO,
  EXCHANGE,
  OTHER,
  PODS,
  RESOURCE,
  rights,
  RIGHTS,
  startExchangeStage,
  type ExchangeStage,
} from '../support/exchange-stage.ts';

const details = (...list: readonly object[]): { authorization_details: string } => ({
  authorization_details: JSON.stringify(list),
});

describe('an exchange is rejected, and audited', () => {
  let stage: ExchangeStage;
  let subject: string;

  beforeAll(async () => {
    stage = await startExchangeStage();
    subject = await stage.subject('alice');
  });
  afterAll(async () => {
    await stage.stop();
  });

  /** Status, error, and the reason in the audit log. */
  const outcome = async ({ status, body }: Answer): Promise<readonly unknown[]> => {
    const last = (await stage.events('delegation-refused')).at(-1);
    // Each says in a sentence what is wrong.
    expect(String(body['error_description'])).toMatch(/^.{20,}$/s);
    return [status, body['error'], last?.annotations['portcullis.dev/reason']];
  };

  it('at a cluster, for a user’s token that is passed on without one', async () => {
    expect((await stage.user.get(PODS, subject)).status).toBe(401);
    expect((await stage.mcp.get(PODS, subject)).status).toBe(401);
  });

  /** One of our own tokens, with other claims or another signature. */
  async function forged(change: JWTPayload, header: object = {}): Promise<string> {
    const { current } = await loadSigningKeys(`${stage.files.directory}/keys/signing`);
    const claims = { ...decodeJwt(subject), ...change };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: current.kid, typ: 'at+jwt', ...header })
      .sign(await importJWK(current.privateJwk, 'ES256'));
  }

  it.each<readonly [string, () => string | Promise<string>, string]>([
    ['is for a cluster', () => stage.subject('alice', DEMO), 'subject_token_audience'],
    [
      'is for another client',
      () => stage.subject('alice', 'https://mcp-tls.example.com/mcp'),
      'subject_token_audience',
    ],
    ['is for two', () => forged({ aud: [RESOURCE, DEMO] }), 'subject_token_foreign'],
    ['has expired', () => forged({ exp: 1_600_000_000, iat: 1_500_000_000 }), 'subject_token_expired'],
    ['is of another type', () => forged({}, { typ: 'JWT' }), 'subject_token_foreign'],
    ['is of another issuer', () => forged({ iss: 'https://evil.example' }), 'subject_token_foreign'],
    ['names sessions above in another form', () => forged({ psid: 'x' }), 'subject_token_foreign'],
    ['is of a session that there is not', () => forged({ sid: 'AAAAAAAAAAAAAAAAAAAAAA' }), 'session_unknown'],
    ['is of another account', () => forged({ sub: 'demo/other' }), 'session_unknown'],
    [
      'is unsigned',
      () => `${btoa('{"alg":"none","typ":"at+jwt"}')}.${subject.split('.')[1]}.`,
      'subject_token_foreign',
    ],
    ['is no token', () => 'abc', 'subject_token_malformed'],
    ['is large', () => 'a'.repeat(5000), 'subject_token_malformed'],
  ])('where the subject token %s', async (_what, token, reason) => {
    expect(await outcome(await stage.exchange(await token()))).toEqual([400, 'invalid_request', reason]);
  });

  it.each<readonly [string, Record<string, string>, string, string]>([
    ['an actor token', { actor_token: 'x' }, 'invalid_request', 'invalid_request'],
    [
      'another type of subject',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' },
      'invalid_request',
      'invalid_request',
    ],
    [
      'a refresh token',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'invalid_request',
      'invalid_request',
    ],
    ['two names of audiences', { audience: DEMO, resource: OTHER }, 'invalid_request', 'invalid_request'],
    ['another scope', { scope: 'admin' }, 'invalid_scope', 'scope_unknown'],
    ['an unknown cluster', { resource: 'urn:portcullis:cluster:prod' }, 'invalid_target', 'audience_refused'],
    [
      'a cluster of which the user may use nothing',
      { resource: 'urn:portcullis:cluster:closed' },
      'invalid_target',
      'audience_refused',
    ],
    ['the admin API', { resource: 'urn:portcullis:admin' }, 'invalid_target', 'audience_refused'],
    ['another client', { resource: 'https://mcp-tls.example.com/mcp' }, 'invalid_target', 'audience_refused'],
    ['its own resource', { resource: RESOURCE }, 'invalid_target', 'audience_refused'],
    [
      'a cluster that it has not asked rights for',
      { resource: OTHER, ...rights({ clusters: ['demo'] }) },
      'invalid_target',
      'audience_refused',
    ],
    ...(
      [
        ['no JSON', { authorization_details: '[{' }, 'authorization_details_invalid'],
        ['an object', { authorization_details: '{}' }, 'authorization_details_invalid'],
        ['nothing', details(), 'authorization_details_invalid'],
        [
          'two of them',
          details({ type: RIGHTS, namespaces: ['shop'] }, { type: RIGHTS }),
          'authorization_details_invalid',
        ],
        ['another type', details({ type: 'openid_credential' }), 'authorization_details_invalid'],
        ['an unknown member', rights({ namespace: 'shop' }), 'authorization_details_invalid'],
        [
          'an unknown verb',
          rights({ rules: [{ verbs: ['read'], apiGroups: [''], resources: ['pods'] }] }),
          'authorization_details_invalid',
        ],
        ['no cluster', rights({ clusters: [] }), 'authorization_details_invalid'],
        [
          'a large limit',
          rights({ namespaces: Array.from({ length: 2000 }, (_, index) => `n${index}`) }),
          'authorization_details_invalid',
        ],
        ['a cluster that it may not use', rights({ clusters: ['prod'] }), 'cluster_not_allowed'],
        ['a namespace that it may not have', rights({ namespaces: ['kube-system'] }), 'rights_wider'],
        ['Secrets', rights({ preset: 'read-only-with-secrets' }), 'rights_wider'],
      ] as const
    ).map(([what, form, reason]) => [`as rights, ${what}`, form, 'invalid_authorization_details', reason] as const),
  ])('that asks for %s', async (_what, form, error, reason) => {
    expect(await outcome(await stage.exchange(subject, form))).toEqual([400, error, reason]);
  });

  it('that has a parameter twice', async () => {
    const assertion = await stage.assertion();
    const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
    const form = new URLSearchParams([
      ['grant_type', EXCHANGE],
      ['client_assertion_type', type],
      ['client_assertion', assertion],
      ['subject_token', subject],
      ['subject_token', subject],
      ['subject_token_type', 'urn:ietf:params:oauth:token-type:access_token'],
    ]);
    const answer = await stage.mcp.send('POST', '/-/oauth/token', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
    });
    expect(await outcome(answer)).toEqual([400, 'invalid_request', 'invalid_request']);
  });

  it.each<readonly [string, (server: string) => Promise<string>, string]>([
    ['is for another server', () => stage.assertion({ aud: 'https://other.example' }), 'client_assertion_audience'],
    [
      'is for two servers',
      (server) => stage.assertion({ aud: [server, 'https://x.example'] }),
      'client_assertion_audience',
    ],
    ['has expired', () => stage.assertion({ exp: 1_600_000_000 }), 'client_assertion_expired'],
    [
      'lives for a day',
      () => stage.assertion({ exp: Math.floor(Date.now() / 1000) + 86_400 }),
      'client_assertion_too_long',
    ],
    ['has no id', () => stage.assertion({ jti: undefined }), 'client_assertion_claims'],
    [
      'is of another client’s key',
      async () => stage.assertion({}, { key: await stage.keyOf('mcp-url') }),
      'client_assertion_signature',
    ],
    [
      'is signed with the public key as a secret',
      async () => {
        const publicKey = JSON.stringify(await exportJWK(await stage.keyOf('mcp')));
        return stage.assertion({}, { alg: 'HS256', key: createHash('sha256').update(publicKey).digest() });
      },
      'client_assertion_algorithm',
    ],
    [
      'is unsigned',
      async () => `${btoa('{"alg":"none"}').replaceAll('=', '')}.${(await stage.assertion()).split('.')[1]}.`,
      'client_assertion_algorithm',
    ],
    [
      'is of an unknown client',
      async () => stage.assertion({ iss: 'x', sub: 'x' }, { key: await stage.keyOf('mcp') }),
      'client_unknown',
    ],
  ])('whose assertion %s', async (_what, assertion, reason) => {
    const answer = await stage.exchange(subject, { client_assertion: await assertion(stage.web) });
    expect(await outcome(answer)).toEqual([401, 'invalid_client', reason]);
  });

  it('whose assertion was used before, also at the same moment', async () => {
    const client_assertion = await stage.assertion();
    const answers = await Promise.all([1, 2, 3].map(() => stage.exchange(subject, { client_assertion })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(2);
    expect(await outcome(await stage.exchange(subject, { client_assertion }))).toEqual([
      401,
      'invalid_client',
      'client_assertion_replayed',
    ]);
  });

  it('whose client does not authenticate, or by another certificate', async () => {
    const form = { grant_type: EXCHANGE, subject_token: subject };
    const none = await stage.mcp.post('/-/oauth/token', { ...form, client_id: 'mcp' });
    expect(await outcome(none)).toEqual([401, 'invalid_client', 'client_authentication_missing']);
    const tls = await stage.subject('alice', 'https://mcp-tls.example.com/mcp');
    expect(await outcome(await stage.exchangeByTls(tls, {}, stage.mcp))).toEqual([
      401,
      'invalid_client',
      'certificate_mismatch',
    ]);
    expect(await outcome(await stage.exchangeByTls(tls, {}, stage.bare))).toEqual([
      401,
      'invalid_client',
      'certificate_missing',
    ]);
  });

  it('without a certificate to bind to', async () => {
    const answer = await stage.exchange(subject, {}, { from: stage.bare });
    expect(await outcome(answer)).toEqual([400, 'invalid_request', 'certificate_missing']);
  });

  it('by a client that is none of those', async () => {
    const form = { grant_type: EXCHANGE, subject_token: subject, client_id: 'portcullis-cli' };
    expect((await stage.user.token(form)).status).toBe(400);
  });
});
