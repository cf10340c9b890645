/** What a provider says of a user at a re-check: claims of a wrong shape, and another address. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ACCOUNT, startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import type { Lies } from '../support/hostile-provider.ts';
import { metric } from '../support/metric.ts';

describe('a user at a re-check', () => {
  let instance: HostileInstance;
  beforeAll(async () => {
    const userRules = [{ expression: '!user.groups.exists(g, g == "demo:disabled")', message: 'You are disabled.' }];
    instance = await startHostileInstance({ recheck: 1, recheckGrace: 60 }, { userRules });
  });
  beforeEach(() => lie({}));
  afterAll(() => instance.stop());

  const developer: NonNullable<Lies['idToken']> = (honest) => ({
    ...honest,
    groups: ['developers'],
    email: 'mallory@example.com',
    email_verified: true,
  });
  const lie = (lies: Lies): void => instance.provider.lie({ idToken: developer, ...lies });
  const says =
    (claims: Readonly<Record<string, unknown>>): NonNullable<Lies['idToken']> =>
    (honest) => ({ ...developer(honest), ...claims });

  it.each<readonly [string, Lies, string]>([
    ['groups are an object', { idToken: says({ groups: { developers: true } }) }, 'groups_not_strings'],
    ['groups are numbers', { idToken: says({ groups: [7] }) }, 'groups_not_strings'],
    ['name is missing', { idToken: says({ preferred_username: undefined }) }, 'username_not_string'],
    ['name is a number', { idToken: says({ preferred_username: 7 }) }, 'username_not_string'],
    ['name is empty', { idToken: says({ preferred_username: '' }) }, 'username_empty'],
    ['UserInfo has no subject', { userinfo: () => ({ name: 'Mallory' }) }, 'userinfo_subject'],
    ['UserInfo is another user’s', { userinfo: () => ({ sub: '43' }) }, 'userinfo_subject'],
  ])('keeps the session, without a new token, where their %s', async (_name, lies, reason) => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    lie(lies);
    expect((await instance.client.refresh(refreshToken)).status).toBe(503);
    const refused = (await instance.events('refresh-refused')).at(-1);
    expect(refused?.annotations).toMatchObject({ 'portcullis.dev/account': ACCOUNT, 'portcullis.dev/reason': reason });
    expect(await instance.server.store.sessions.read(session)).toMatchObject({ account: ACCOUNT });
    lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
  });

  it('does not make the provider count as down by their own claims', async () => {
    const { refreshToken } = await instance.client.signIn('alice');
    lie({ idToken: says({ groups: { developers: true } }) });
    expect((await instance.client.refresh(refreshToken)).status).toBe(503);
    expect(await metric(instance.server, 'portcullis_provider_reachable{provider="demo"}')).toBe('1');
  });

  it('loses the session at once where a rule says no', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    lie({ idToken: says({ groups: ['developers', 'disabled'] }) });
    expect((await instance.client.refresh(refreshToken)).status).toBe(400);
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
  });

  it('is known by the address that the provider has now', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    const names = async () => (await instance.server.store.sessions.read(session))?.knownAs;
    expect(await names()).toEqual(['mallory', 'mallory@example.com']);
    lie({ idToken: says({ email: 'alice@example.com' }) });
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
    expect(await names()).toEqual(['mallory', 'alice@example.com']);
  });
});
