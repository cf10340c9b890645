import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ACCOUNT, startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import type { Lies } from '../support/hostile-provider.ts';
import type { ClientKey, SignedIn } from '../support/oauth-client.ts';

const PODS = '/api/v1/namespaces/default/pods';

/** A watch whose session no client refreshes. */
interface Watch {
  readonly ended: Promise<unknown>;
  readonly isOpen: () => boolean;
}

describe('an open watch while the provider re-checks its user', () => {
  let instance: HostileInstance;

  beforeAll(async () => {
    // From a sign-in to its watch, a busy machine takes seconds.
    instance = await startHostileInstance({ recheck: 1, recheckGrace: 10 });
  });
  beforeEach(() => lie({}));
  afterAll(() => instance.stop());

  const developer: NonNullable<Lies['idToken']> = (honest) => ({ ...honest, groups: ['developers'] });
  const lie = (lies: Lies): void => instance.provider.lie({ idToken: developer, ...lies });

  async function watch({ accessToken }: SignedIn): Promise<Watch> {
    const { cert, key } = instance.client.key as ClientKey;
    const { port } = new URL(instance.client.endpoints.api);
    const socket = connect({
      host: '127.0.0.1',
      port: Number(port),
      servername: 'localhost',
      ca: instance.ca,
      cert,
      key,
    });
    socket.on('error', () => undefined);
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await once(socket, 'secureConnect');
    socket.write(`GET ${PODS}?watch=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${accessToken}\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).toContain('200 OK');
    return { ended, isOpen: () => !socket.destroyed };
  }

  /** Sessions of earlier tests are re-checked as well, as long as they last. */
  const eventsOf = async (name: string, { session }: SignedIn) =>
    (await instance.events(name))
      .map(({ annotations }) => annotations)
      .filter((facts) => facts['portcullis.dev/session'] === session);

  const refreshes = (): number => instance.provider.asked.filter((path) => path === '/token').length;
  /** The audit events of how a session's watch ended. */
  const cutOf = async (session: string): Promise<string | undefined> => {
    const watches = (await instance.recorded()).filter(
      ({ verb, annotations }) => verb === 'watch' && annotations['portcullis.dev/session'] === session,
    );
    return watches.at(-1)?.annotations['portcullis.dev/reason'];
  };

  it('continues as long as the provider confirms the user, and is re-checked', async () => {
    const open = await watch(await instance.client.signIn('alice'));
    const before = refreshes();
    await expect.poll(refreshes).toBeGreaterThan(before);
    expect(open.isOpen()).toBe(true);
  });

  it('ends with the session when the provider no longer confirms the user', async () => {
    const signedIn = await instance.client.signIn('alice');
    const open = await watch(signedIn);
    const rejection = { error: 'invalid_grant' };
    lie({ token: () => ({ status: 400, body: JSON.stringify(rejection) }) });
    await open.ended;
    // The stream is cut first, then the store is updated.
    await expect.poll(() => instance.server.store.sessions.read(signedIn.session)).toBeUndefined();
    // Audited once every replica has confirmed that it is over.
    await expect
      .poll(() => eventsOf('session-ended', signedIn))
      .toMatchObject([{ 'portcullis.dev/account': ACCOUNT, 'portcullis.dev/reason': 'provider_refresh_refused' }]);
    expect((await instance.client.get('/version', signedIn.accessToken)).status).toBe(401);
  });

  it('ends when the user’s identity in Kubernetes has changed, and the next watch runs under the new one', async () => {
    const signedIn = await instance.client.signIn('alice');
    const open = await watch(signedIn);
    lie({ idToken: (honest) => ({ ...developer(honest), preferred_username: 'trent' }) });
    await open.ended;
    expect((await instance.server.store.sessions.read(signedIn.session))?.identity.username).toBe('demo:trent');
    expect(await eventsOf('identity-changed', signedIn)).toHaveLength(1);
    expect((await instance.client.get('/version', signedIn.accessToken)).status).toBe(200);
  });

  it('ends when the provider has been unavailable for the grace period; the session stays, and works when it is back', async () => {
    const signedIn = await instance.client.signIn('alice');
    const open = await watch(signedIn);
    lie({ token: () => ({ status: 503, body: 'later', type: 'text/plain' }) });
    await open.ended;
    expect(await cutOf(signedIn.session)).toBe('recheck_overdue');
    expect(await instance.server.store.sessions.read(signedIn.session)).toBeDefined();
    lie({});
    expect((await instance.client.refresh(signedIn.refreshToken)).status).toBe(200);
    const again = await watch(signedIn);
    expect(again.isOpen()).toBe(true);
  });
});
