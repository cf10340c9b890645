import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { AppError, ERROR_CODES } from '../../../src/core/errors.ts';
import { createLogger, type LogLevel, type Logger } from '../../../src/telemetry/telemetry.ts';
import { cpuMs } from '../../support/cpu-time.ts';

function aLogger(level: LogLevel = 'debug'): {
  logger: Logger;
  text: () => string;
  lines: () => Record<string, unknown>[];
} {
  let text = '';
  const logger = createLogger({ level, destination: { write: (line) => void (text += line) } });
  return {
    logger,
    text: () => text,
    lines: () =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary-signature';
const RAW = 'canary-0a1b2c3d4e5f';

describe('the log', () => {
  it('is one JSON line with its level by name and an ISO time', () => {
    const { logger, lines } = aLogger();
    logger.info({ cluster: 'prod' }, 'started');
    expect(lines()).toEqual([
      { level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), cluster: 'prod', msg: 'started' },
    ]);
  });

  it.each([
    ['error', ['error']],
    ['warn', ['error', 'warn']],
    ['info', ['error', 'warn', 'info']],
    ['debug', ['error', 'warn', 'info', 'debug']],
  ] as const)('at level %s says %j', (level, said) => {
    const { logger, lines } = aLogger(level);
    for (const name of ['error', 'warn', 'info', 'debug'] as const) logger[name]('line');
    expect(lines().map((line) => line['level'])).toEqual(said);
  });

  it('keeps what an operator needs', () => {
    const { logger, lines } = aLogger();
    const fields = {
      session: 'Qx81',
      tokenId: 'jti-1',
      tokenFile: '/run/token',
      code: 'ECONNREFUSED',
      exitCode: 1,
      state: 'applied',
      url: '/api/v1/pods',
      codes: [200, 503],
      nested: { code: 'CERT_HAS_EXPIRED', issuer: 'https://idp.example.com/realms/a' },
      fenced: true,
      nothing: null,
    };
    logger.info(fields);
    expect(lines()[0]).toMatchObject(fields);
  });
});

describe('redaction', () => {
  it.each([
    'authorization',
    'Authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'token',
    'access_token',
    'refreshToken',
    'id_token',
    'code',
    'user_code',
    'code_verifier',
    'state',
    'nonce',
    'password',
    'clientSecret',
    'client_secret',
    'client_assertion',
    'privateKey',
    'sec-websocket-protocol',
    'credentials',
  ])('hides the value of %s at any depth, in children and in lists', (key) => {
    const { logger, text } = aLogger();
    logger.info({ [key]: RAW });
    logger.info({ a: { b: [{ c: { [key]: RAW } }] } });
    logger.info({ [key]: [RAW, { deep: RAW }] });
    logger.child({ [key]: RAW, inner: { [key]: RAW } }).warn('from a child');
    logger.info({ rawHeaders: ['Host', 'prod', key, RAW] });
    expect(text()).not.toContain('canary');
    expect(text().match(/\[redacted\]/g)).toHaveLength(6);
  });

  it.each([
    ['after its scheme', `sent Bearer ${RAW}`],
    ['after its scheme, encoded', `sent bearer%20${RAW}`],
    ['by its looks', `got ${JWT} from a client`],
    ['by its looks, sealed', 'got eyJhbGciOiJkaXIifQ..canary-iv.canary-text.canary-tag'],
    ['behind dotted text', `a.b.c.d.e.${JWT}`],
    ['as a subprotocol', `base64url.bearer.authorization.k8s.io.${RAW}`],
    ['in a query', `GET /callback/corp?code=${RAW}&state=${RAW} failed`],
    ['in a form', `grant_type=refresh_token&refresh_token=${RAW}`],
    ['in an absolute URL', `cannot reach https://idp.example.com/token?x=${RAW}#${RAW}`],
    ['as a password in a URL', `cannot reach rediss://default:${RAW}@redis:6379/0`],
    ['as a password with a slash and an @ in it', `cannot reach redis://:${RAW}/p@${RAW}@redis:6379/0`],
    ['as a private key', `-----BEGIN EC PRIVATE KEY-----\n${RAW}\n-----END EC PRIVATE KEY-----`],
  ])('hides a secret in text: %s', (_name, secret) => {
    const { logger, text } = aLogger();
    logger.info(secret);
    logger.info({ note: secret, [secret]: 1, list: [secret] });
    logger.info('formatted %s %o', secret, { secret });
    logger.error(new Error(secret, { cause: new Error(secret) }));
    logger.child({ note: secret }, { msgPrefix: secret }).info('x');
    expect(text()).not.toContain('canary');
  });

  it.each(['url', 'originalUrl', 'requestURI', 'location', 'referer'])('strips the query of %s', (key) => {
    const { logger, lines } = aLogger();
    logger.info({ [key]: '/callback/corp?anything=canary#canary' });
    expect(lines()[0]).toMatchObject({ [key]: '/callback/corp' });
  });

  it('tells an error with its codes and causes, and nothing that a library hung on it', () => {
    const { logger, text, lines } = aLogger();
    const inner = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', response: { body: RAW } });
    const error = new AppError('provider_unavailable', 'Try again.', { reason: 'discovery_failed', cause: inner });
    logger.error({ err: error }, 'sign-in failed');
    logger.error({ error: new AggregateError([inner], 'all failed') }, 'both');
    expect(lines()[0]?.['err']).toMatchObject({
      type: 'AppError',
      message: 'Try again.',
      code: 'provider_unavailable',
      reason: 'discovery_failed',
      cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
    });
    expect(lines()[1]?.['error']).toMatchObject({ errors: [{ code: 'ECONNREFUSED' }] });
    expect(text()).not.toContain('canary');
  });

  it.each([
    ...ERROR_CODES,
    'ECONNRESET',
    'EPROTONOSUPPORT',
    'ERR_HTTP2_STREAM_ERROR',
    'ERR_OSSL_X509_KEY_VALUES_MISMATCH',
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    'UND_ERR_CONNECT_TIMEOUT',
    'Z_DATA_ERROR',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'OAUTH_RESPONSE_BODY_ERROR',
  ])('keeps the code of an error: %s', (code) => {
    const { logger, lines } = aLogger();
    const cause = Object.assign(new Error('inner'), { code });
    logger.error({ err: Object.assign(new Error('outer', { cause }), { code }) }, 'failed');
    expect(lines()[0]?.['err']).toMatchObject({ code, cause: { code } });
  });

  // An attacker who reads logs could redeem an authorization code. These are codes as providers and oidc-provider
  // issue them, letters of one case among them, and a user code of ours.
  it.each([
    'SplxlOBeZQQYbYS6WxSbIA',
    'n0esc3NRze7LTCu7iYzS6a5acc3f0ogp4',
    'dC6fM3vA9xQw-Z1kLr8sT_0uYb2nHe5jGp7iOqXcVt4',
    '4/0AX4XfWh-a1B2c3',
    '8d2f0c9b7a6e5d4c3b2a',
    'splxlobezqqbybyswxsb',
    'splxlobezq-qbybyswxsbia',
    'SPLXLOBEZQQBYBYSWXSB',
    'ESPLXLOBEZQQBYBYSWXSBIA',
    'Splxlobezqqbybys',
    'BCDF-GHJK',
    'AC_9F8E7D6C5B4A39281706',
  ])('never shows an authorization code: %s', (code) => {
    const { logger, text } = aLogger();
    logger.info(`GET /callback/corp?code=${code}&state=x failed`);
    logger.info({ url: `https://portcullis.example.com/callback/corp?code=${code}` }, 'callback');
    logger.info({ body: `grant_type=authorization_code&code=${code}&client_id=portcullis` }, 'form');
    logger.info({ code, grant_type: 'authorization_code' }, 'token request');
    logger.info({ params: { code }, query: { code: [code] } }, 'token request');
    logger.error({ err: Object.assign(new Error(`code=${code}`), { code }) }, 'failed');
    expect(text()).not.toContain(code);
  });

  it('never shows a code outside an error, even one with the form of an error code', () => {
    const { logger, text } = aLogger();
    logger.info({ code: 'splxlobezqqbybys', params: { code: 'device_code' } }, 'token request');
    expect(text()).not.toMatch(/splxlobezqqbybys|device_code/);
  });

  it('hides the secrets of a request that someone logs whole', () => {
    const { logger, text } = aLogger();
    const outgoing = request({
      port: 9,
      headers: { authorization: `Bearer ${RAW}`, cookie: RAW },
      path: `/x?code=${RAW}`,
    });
    outgoing.on('error', () => {});
    outgoing.destroy();
    logger.info({ headers: outgoing.getHeaders(), path: outgoing.path }, 'request');
    logger.info(
      { method: 'GET', url: `/x?code=${RAW}`, headers: { cookie: RAW, authorization: RAW }, socket: {} },
      'as pino maps requests',
    );
    expect(text()).not.toContain('canary');
    expect(text()).toContain('"path":"/x"');
  });

  it('survives cycles and values that are no JSON', () => {
    const { logger, lines } = aLogger();
    const cycle: Record<string, unknown> = { token: RAW, big: 1n };
    cycle['self'] = cycle;
    logger.info({ cycle });
    logger.info({ ['__proto__']: RAW, when: new Date(0), bytes: Buffer.from('x'), none: undefined });
    expect(lines()).toHaveLength(2);
    expect(JSON.stringify(lines()[0])).not.toContain('canary');
  });

  it('keeps hostile text on its line', () => {
    const { logger, text, lines } = aLogger();
    logger.info({ agent: 'a\nb\u2028c\u009bd' });
    expect(text().trimEnd()).not.toMatch(/[\n\u2028\u009b]/);
    expect(lines()[0]).toMatchObject({ agent: 'a\nb\u2028c\u009bd' });
  });

  it('takes milliseconds for hostile text of 64 KiB', () => {
    const { logger } = aLogger();
    const hostile = [
      'eyJ',
      '-eyJ',
      'a.',
      'a-',
      'a.eyJ ',
      'bearer ',
      'token',
      'http://',
      'h://@',
      '-----BEGIN PRIVATE KEY-----',
    ];
    const slow = hostile.filter((part) => cpuMs(() => logger.info(part.repeat(65_536 / part.length))) > 500);
    expect(slow).toEqual([]);
  });
});
