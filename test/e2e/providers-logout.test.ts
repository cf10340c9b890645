import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliContext } from '../support/kubectl.ts';
import { startLogoutInstance, type LogoutInstance } from '../support/logout-instance.ts';
import { LOGOUT_USER } from '../support/logout-provider.ts';

const ACCOUNT = `demo/${LOGOUT_USER}` as const;

/** Who reports when a user signs out there; `test/integration/logout.test.ts` has what it does at each type of provider. */
describe('a user of type keycloak who signs out at the provider', () => {
  let stage: LogoutInstance;
  let attended: CliContext;
  let unattended: CliContext;

  beforeAll(async () => {
    stage = await startLogoutInstance('keycloak');
    attended = new CliContext(stage, LOGOUT_USER);
    unattended = new CliContext(stage, LOGOUT_USER, { PORTCULLIS_NO_BROWSER: '1' });
  });
  afterAll(async () => {
    attended.close();
    unattended.close();
    await stage.stop();
  });

  /** What the provider sends when a user signs out of this session there. */
  async function signOut(sid: string): Promise<number> {
    const answer = await request(`${stage.web}/backchannel-logout/demo`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ logout_token: await stage.provider.logoutToken({ claims: { sid } }) }).toString(),
    });
    await answer.body.dump();
    return answer.statusCode;
  }

  it('is out of kubectl: open requests are cut, the next command says how to sign in, and a new sign-in is accepted', async () => {
    const signedIn = await attended.portcullis('login', '--provider', 'demo');
    expect(signedIn.code, signedIn.all).toBe(0);
    const terminal = unattended.kubectlAtTerminal('exec', '-i', '-t', 'web-1', '--', 'sh');
    const watch = unattended.openKubectl('get', 'pods', '--watch');
    await Promise.all([terminal.until(/\/ # /), watch.until(/web-2/)]);
    const { sessions } = await stage.server.store.sessions.list({ account: ACCOUNT, limit: 1 });
    const [session] = sessions;
    expect(await signOut(session?.providerSid ?? '')).toBe(200);
    await Promise.all([terminal.finished, watch.finished]);
    const refused = await unattended.kubectl('get', 'pods');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('Next: portcullis login --server');
    const ended = (await stage.recorded()).find(
      ({ annotations }) =>
        annotations['portcullis.dev/event'] === 'logout' && annotations['portcullis.dev/session'] === session?.id,
    );
    expect(ended).toMatchObject({
      user: { username: 'demo:alice' },
      annotations: { 'portcullis.dev/account': ACCOUNT, 'portcullis.dev/reason': 'signed_out_at_provider' },
    });
    const again = await attended.portcullis('login', '--provider', 'demo');
    expect(again.code, again.all).toBe(0);
    const got = await unattended.kubectl('get', 'pods');
    expect(got.code, got.all).toBe(0);
  });
});
