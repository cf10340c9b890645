import { expect, it } from 'vitest';

import { openNow, parallel, type OpenStore } from './fixtures.ts';

export function artefactsConform(open: OpenStore): void {
  savingConforms(open);
  usingOnceConforms(open);
  belongingConforms(open);
}

function savingConforms(open: OpenStore): void {
  it('gives back what was saved, and nothing under another kind or id', async () => {
    const { store } = await open();
    await store.artefacts.save('SignIn', 'state-1', { nonce: 'n', list: [1, { deep: true }] }, { ttlSeconds: 60 });
    expect(await store.artefacts.find('SignIn', 'state-1')).toEqual({ nonce: 'n', list: [1, { deep: true }] });
    expect(await store.artefacts.find('Interaction', 'state-1')).toBeUndefined();
    expect(await store.artefacts.find('SignIn', 'state-2')).toBeUndefined();
  });

  it('shares no object with its callers', async () => {
    const { store } = await open();
    const payload = { scopes: ['a'] };
    await store.artefacts.save('Session', 'one', payload, { ttlSeconds: 60 });
    payload.scopes.push('b');
    const found = (await store.artefacts.find('Session', 'one')) as { scopes: string[] };
    found.scopes.push('c');
    expect(await store.artefacts.find('Session', 'one')).toEqual({ scopes: ['a'] });
  });

  it('forgets an artefact in the moment its time is over, by the injected clock', async () => {
    const { store, clock } = await open();
    await store.artefacts.save('AuthorizationCode', 'code', {}, { ttlSeconds: 60, uid: 'uid', userCode: 'user-code' });
    clock.advance(59);
    expect(await store.artefacts.find('AuthorizationCode', 'code')).toBeDefined();
    clock.advance(1);
    expect(await store.artefacts.find('AuthorizationCode', 'code')).toBeUndefined();
    expect(await store.artefacts.findByUid('AuthorizationCode', 'uid')).toBeUndefined();
    expect(await store.artefacts.findByUserCode('AuthorizationCode', 'user-code')).toBeUndefined();
    expect(await store.artefacts.consume('AuthorizationCode', 'code')).toBe(false);
    expect(await store.artefacts.take('AuthorizationCode', 'code')).toBeUndefined();
  });

  it('finds by uid and by user code within a kind', async () => {
    const { store } = await open();
    await store.artefacts.save('Session', 'a', { is: 'a' }, { ttlSeconds: 60, uid: 'shared' });
    await store.artefacts.save('Interaction', 'b', { is: 'b' }, { ttlSeconds: 60, uid: 'shared' });
    await store.artefacts.save('DeviceCode', 'c', { is: 'c' }, { ttlSeconds: 60, userCode: 'BCDF-GHJK' });
    expect(await store.artefacts.findByUid('Session', 'shared')).toEqual({ is: 'a' });
    expect(await store.artefacts.findByUid('Interaction', 'shared')).toEqual({ is: 'b' });
    expect(await store.artefacts.findByUserCode('DeviceCode', 'BCDF-GHJK')).toEqual({ is: 'c' });
    expect(await store.artefacts.findByUid('DeviceCode', 'BCDF-GHJK')).toBeUndefined();
  });

  it('replaces an artefact with its names and its time', async () => {
    const { store, clock } = await open();
    await store.artefacts.save('Session', 'one', { is: 'old' }, { ttlSeconds: 60, uid: 'old' });
    await store.artefacts.save('Session', 'one', { is: 'new' }, { ttlSeconds: 600, uid: 'new' });
    clock.advance(60);
    expect(await store.artefacts.find('Session', 'one')).toEqual({ is: 'new' });
    expect(await store.artefacts.findByUid('Session', 'new')).toEqual({ is: 'new' });
    expect(await store.artefacts.findByUid('Session', 'old')).toBeUndefined();
  });

  it('destroys an artefact with the names that lead to it', async () => {
    const { store } = await open();
    await store.artefacts.save('DeviceCode', 'one', {}, { ttlSeconds: 60, uid: 'uid', userCode: 'user-code' });
    await store.artefacts.destroy('DeviceCode', 'one');
    await store.artefacts.destroy('DeviceCode', 'one');
    expect(await store.artefacts.find('DeviceCode', 'one')).toBeUndefined();
    expect(await store.artefacts.findByUid('DeviceCode', 'uid')).toBeUndefined();
    expect(await store.artefacts.findByUserCode('DeviceCode', 'user-code')).toBeUndefined();
  });

  it('leaves a name to the one who had it last', async () => {
    const { store } = await open();
    await store.artefacts.save('DeviceCode', 'first', { is: 1 }, { ttlSeconds: 60, userCode: 'BCDF-GHJK' });
    await store.artefacts.save('DeviceCode', 'second', { is: 2 }, { ttlSeconds: 60, userCode: 'BCDF-GHJK' });
    await store.artefacts.destroy('DeviceCode', 'first');
    expect(await store.artefacts.findByUserCode('DeviceCode', 'BCDF-GHJK')).toEqual({ is: 2 });
  });

  it('refuses a time to live that is no number', async () => {
    const { store } = await open();
    await expect(store.artefacts.save('Session', 'x', {}, { ttlSeconds: Number.NaN })).rejects.toThrow(RangeError);
  });
}

function usingOnceConforms(open: OpenStore): void {
  it('lets exactly one of 50 racing callers consume a code', async () => {
    const { store } = await open();
    await store.artefacts.save('AuthorizationCode', 'code', {}, { ttlSeconds: 60 });
    const won = await parallel(50, () => store.artefacts.consume('AuthorizationCode', 'code'));
    expect(won.filter(Boolean)).toHaveLength(1);
  });

  it('lets exactly one of 50 racing callers take a state', async () => {
    const { store } = await open();
    await store.artefacts.save('SignIn', 'state', { nonce: 'n' }, { ttlSeconds: 60 });
    const taken = await parallel(50, () => store.artefacts.take('SignIn', 'state'));
    expect(taken.filter((payload) => payload !== undefined)).toEqual([{ nonce: 'n' }]);
    expect(await store.artefacts.find('SignIn', 'state')).toBeUndefined();
  });

  it('says when an artefact was consumed, and keeps it consumed when it is saved again', async () => {
    const { store, clock } = await open();
    await store.artefacts.save('RefreshToken', 'token', { a: 1 }, { ttlSeconds: 60 });
    expect(await store.artefacts.consume('RefreshToken', 'token')).toBe(true);
    const consumed = clock.seconds();
    clock.advance(5);
    expect(await store.artefacts.find('RefreshToken', 'token')).toEqual({ a: 1, consumed });
    await store.artefacts.save('RefreshToken', 'token', { a: 2 }, { ttlSeconds: 60 });
    expect(await store.artefacts.find('RefreshToken', 'token')).toEqual({ a: 2, consumed });
    expect(await store.artefacts.consume('RefreshToken', 'token')).toBe(false);
    expect(await store.artefacts.find('RefreshToken', 'token')).toEqual({ a: 2, consumed });
  });
}

function belongingConforms(open: OpenStore): void {
  it('removes every artefact of a session, and of no other', async () => {
    const { store } = await open();
    await store.artefacts.save('RefreshToken', 'mine', {}, { ttlSeconds: 60, session: 'one' });
    await store.artefacts.save('AuthorizationCode', 'mine', {}, { ttlSeconds: 60, session: 'one', uid: 'mine' });
    await store.artefacts.save('RefreshToken', 'theirs', {}, { ttlSeconds: 60, session: 'two' });
    await store.artefacts.destroyOfSession('one');
    expect(await store.artefacts.find('RefreshToken', 'mine')).toBeUndefined();
    expect(await store.artefacts.find('AuthorizationCode', 'mine')).toBeUndefined();
    expect(await store.artefacts.findByUid('AuthorizationCode', 'mine')).toBeUndefined();
    expect(await store.artefacts.find('RefreshToken', 'theirs')).toEqual({});
  });

  it('keeps an artefact whose session became another one when it was saved again', async () => {
    const { store } = await open();
    await store.artefacts.save('BrowserCookie', 'cookie', {}, { ttlSeconds: 60, session: 'one' });
    await store.artefacts.save('BrowserCookie', 'cookie', {}, { ttlSeconds: 60, session: 'two' });
    await store.artefacts.destroyOfSession('one');
    expect(await store.artefacts.find('BrowserCookie', 'cookie')).toEqual({});
    await store.artefacts.destroyOfSession('two');
    expect(await store.artefacts.find('BrowserCookie', 'cookie')).toBeUndefined();
  });

  it('keeps artefacts that were saved before their session was opened', async () => {
    const subject = await open();
    await subject.store.artefacts.save('Grant', 'session-1', { g: 1 }, { ttlSeconds: 60, session: 'session-1' });
    await openNow(subject);
    expect(await subject.store.artefacts.find('Grant', 'session-1')).toEqual({ g: 1 });
  });
}
