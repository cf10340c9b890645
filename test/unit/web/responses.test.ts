import { afterEach, describe, expect, test } from 'vitest';
import { browserAt, closeStages, locationOf, openStage, signIn } from './harness.ts';

afterEach(closeStages);

describe('every response', () => {
  test('carries the security headers and a request id', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    for (const path of ['/', '/me', '/login/done', '/nowhere', '/callback/corp']) {
      const { headers } = await browser.get(path);
      const csp = String(headers['content-security-policy']);
      expect(csp).toContain("default-src 'none'");
      expect(csp).toContain("frame-ancestors 'none'");
      expect(csp).not.toContain('unsafe');
      expect(headers).toMatchObject({
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
        'x-frame-options': 'DENY',
      });
      // Every feature that is named is off for every origin.
      expect(headers['permissions-policy']).toMatch(/^(?:[a-z-]+=\(\), )+[a-z-]+=\(\)$/);
      expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
      expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
      expect(headers['x-powered-by']).toBeUndefined();
      expect(headers['strict-transport-security']).toBeUndefined();
    }
  });

  test('has cookies that no script and no other host can reach', async () => {
    const stage = await openStage({ config: { publicUrl: 'https://portcullis.example.com' } });
    const browser = browserAt(stage);
    const started = await browser.get('/login/start?provider=corp').expect(303);
    expect(started.headers['set-cookie']?.[0]).toMatch(
      /^__Host-portcullis-sign-in=[\w-]{43}; Max-Age=600; Path=\/; Expires=[^;]+; HttpOnly; Secure; SameSite=Lax$/,
    );
    expect(started.headers['strict-transport-security']).toBe('max-age=31536000');
    const state = new URL(locationOf(started)).searchParams.get('state');
    const cookie = String(started.headers['set-cookie']?.[0]).split(';', 1)[0] ?? '';
    const done = await browser.get(`/login/finish?code=alice&state=${state}`).set('Cookie', cookie).expect(303);
    expect(done.headers['set-cookie']?.[0]).toMatch(
      /^__Host-portcullis=[\w-]{43}; .*Path=\/; .*HttpOnly; Secure; SameSite=Lax$/,
    );
  });

  test('has no inline script or style and no remote asset', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'root');
    for (const path of ['/me', '/me/end-others', '/admin', '/login', '/nowhere']) {
      const { text } = await browser.get(path);
      const own = /<script type="module" src="\/assets\/[\w-]{16}\/[a-z-]+\.js"><\/script>/g;
      expect(text.replaceAll(own, '')).not.toMatch(/<script|<style|style=|\son\w+=|(?:src|href)="(?:https?:)?\/\//i);
    }
  });

  test.each(['/', '/login', '/login/done', '/nowhere', '/login/finish?state=x'])(
    '%s has no script, and none could run there',
    async (path) => {
      const stage = await openStage();
      const { text, headers } = await browserAt(stage).get(path);
      expect(text).not.toContain('<script');
      expect(headers['content-security-policy']).toBe(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
      );
    },
  );

  test('lets our own scripts run for a signed-in user; they connect to us alone and cannot turn text into markup', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const { text, headers } = await browser.get('/me').expect(200);
    expect(text.match(/<script/g)).toHaveLength(1);
    const policy = String(headers['content-security-policy']);
    for (const directive of [
      "script-src 'self'",
      "connect-src 'self'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]) {
      expect(policy).toContain(directive);
    }
  });

  test('hands OAuth paths over untouched, and nothing that only looks like one', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    expect((await browser.get('/oauth/jwks?a=b')).text).toBe('oauth /oauth/jwks?a=b');
    expect((await browser.get('/.well-known/openid-configuration')).text).toContain('oauth');
    await browser.get('/oauthx').expect(404);
  });

  test('is 503 while the audit log cannot be written, and nothing is created', async () => {
    const stage = await openStage();
    stage.audit.blocked = true;
    await browserAt(stage).get('/login/start?provider=corp').expect(503).expect('Retry-After', '1');
    expect(stage.counted).toEqual([]);
    await browserAt(stage)
      .get('/admin/api/v1/sessions')
      .expect(503)
      .expect('Content-Type', /problem\+json/);
  });
});
