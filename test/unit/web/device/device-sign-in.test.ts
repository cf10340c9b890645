import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import type { DeviceRequest, DeviceRequests } from '../../../../src/contracts/authorization.ts';
import { createCodeLimit } from '../../../../src/web/device/device-code-limit.ts';
import { sameNetwork } from '../../../../src/web/device/device-location.ts';
import {
  annotation,
  browserAt,
  closeStages,
  locationOf,
  openStage,
  PUBLIC_URL,
  sessionsOf,
  signIn,
  type Browser,
  type Stage,
} from '../harness.ts';

afterEach(closeStages);

const CODE = 'BCDF-GHJK';

/** One device that waits. */
class TestDevices implements DeviceRequests {
  request: DeviceRequest = {
    clientId: 'portcullis-cli',
    clientName: 'kubectl',
    address: '127.0.0.1',
    userAgent: 'portcullis/0.1.0 (linux; x64) <b>',
  };
  readonly allowed: string[] = [];
  refused = 0;

  async find(userCode: string): Promise<DeviceRequest> {
    if (userCode !== CODE || this.allowed.length + this.refused > 0) {
      throw new AppError('sign_in_expired', 'There is no such code.', { reason: 'device_code_unknown' });
    }
    return this.request;
  }

  async allow(userCode: string, session: { readonly id: string }): Promise<void> {
    await this.find(userCode);
    this.allowed.push(session.id);
  }

  async refuse(userCode: string): Promise<void> {
    await this.find(userCode);
    this.refused += 1;
  }
}

interface DeviceStage {
  readonly stage: Stage;
  readonly devices: TestDevices;
  readonly browser: Browser;
}

async function stageWithDevice(deviceCode: 'on' | 'sameNetwork' = 'on'): Promise<DeviceStage> {
  const devices = new TestDevices();
  const stage = await openStage({
    change: (deps) => ({
      ...deps,
      devices,
      config: { ...deps.config, sessions: { ...deps.config.sessions, deviceCode } },
    }),
  });
  return { stage, devices, browser: browserAt(stage) };
}

const csrfAt = async (browser: Browser): Promise<string> =>
  /name="csrf" value="([^"]+)"/.exec((await browser.get('/device').expect(200)).text)?.[1] ?? '';

async function enter(browser: Browser, userCode = CODE, origin = PUBLIC_URL) {
  const form = { csrf: await csrfAt(browser), user_code: userCode };
  return browser.post('/device').set('Origin', origin).type('form').send(form);
}

const linkIn = ({ text }: { readonly text: string }): string =>
  /href="(\/device\/start[^"]+provider=corp)"/.exec(text)?.[1]?.replaceAll('&amp;', '&') ?? '';

/** From the link of the confirmation page to the provider. @returns the callback's path with its query */
async function toProvider(browser: Browser, link: string, user = 'alice'): Promise<string> {
  const started = await browser.get(link).expect(303);
  const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
  return locationOf(await browser.get(`/callback/corp?code=${user}&state=${state}`).expect(303));
}

describe('a device is signed in', () => {
  test('by its code and a fresh sign-in, and the session is the device’s', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    const finish = await toProvider(browser, linkIn(await enter(browser)));
    expect(stage.corp.begun).toEqual([true]);
    expect(finish).toMatch(/^\/device\/finish\?/);
    const finished = await browser.get(finish).expect(303).expect('Location', '/device/done');
    expect(finished.headers['set-cookie']).toEqual([expect.stringMatching(/^portcullis-provider=corp;/)]);
    const [id = ''] = devices.allowed;
    expect(await stage.store.sessions.read(id)).toMatchObject({
      device: true,
      client: 'portcullis-cli',
      userAgent: devices.request.userAgent,
    });
    const [event] = stage.named('sign-in');
    expect(annotation(event, 'device')).toBe('127.0.0.1');
    expect((await browser.get('/device/done').expect(200)).text).toContain('The device is signed in');
  });

  test('and the browser is not: it gets no session of its own', async () => {
    const { stage, browser } = await stageWithDevice();
    await browser.get(await toProvider(browser, linkIn(await enter(browser)))).expect(303);
    expect(await sessionsOf(stage)).toBe(1);
    expect(locationOf(await browser.get('/me').expect(303))).toBe('/login?to=me');
  });

  test('after a second time at the provider, where the first could prove nothing: the browser is known for as long again', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    stage.corp.provesFreshness = false;
    const finish = await toProvider(browser, linkIn(await enter(browser)));
    stage.corp.provesFreshness = true;
    const again = await browser.get(finish).expect(303);
    expect(again.headers['set-cookie']).toEqual([expect.stringMatching(/^portcullis-device=.*; Max-Age=600;/)]);
    const state = new URL(locationOf(again)).searchParams.get('state') ?? '';
    const back = locationOf(await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303));
    await browser.get(back).expect(303).expect('Location', '/device/done');
    expect(devices.allowed).toHaveLength(1);
  });

  test('with the session of these pages as its origin, where it is of the same user', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    await signIn(browser, 'alice');
    await browser.get(await toProvider(browser, linkIn(await enter(browser)))).expect(303);
    const record = await stage.store.sessions.read(devices.allowed[0] ?? '');
    expect(record?.via).toBe(annotation(stage.named('sign-in')[0], 'session'));
  });
});

describe('nothing is allowed', () => {
  test('from another site, nor with a form of another browser', async () => {
    const { stage, browser } = await stageWithDevice();
    expect((await enter(browser, CODE, 'https://evil.example.com')).status).toBe(403);
    const foreign = { csrf: await csrfAt(browserAt(stage)), user_code: CODE };
    const posted = browser.post('/device').set('Origin', PUBLIC_URL).type('form').send(foreign);
    expect((await posted).status).toBe(400);
  });

  test('by a link without the ticket of this browser’s page: no user is led past the page to the sign-in', async () => {
    const { stage, browser } = await stageWithDevice();
    const link = linkIn(await enter(browser));
    const victim = browserAt(stage);
    await victim.get('/device').expect(200);
    await victim.get(link).expect(400);
    await victim.get('/device/start?provider=corp').expect(400);
    expect(stage.corp.begun).toEqual([]);
  });

  test('by a callback in another browser than the one that began', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    const finish = await toProvider(browser, linkIn(await enter(browser)));
    const victim = browserAt(stage);
    await victim.get('/device').expect(200);
    await victim.get(finish).expect(400);
    expect(devices.allowed).toEqual([]);
    expect(await sessionsOf(stage)).toBe(0);
    // And it has spoiled nothing.
    await browser.get(finish).expect(303);
  });

  test('where the provider rejects the user, which the device learns', async () => {
    const { devices, browser } = await stageWithDevice();
    await browser.get(await toProvider(browser, linkIn(await enter(browser)), 'nameless')).expect(403);
    expect([devices.allowed, devices.refused]).toEqual([[], 1]);
  });

  test('where the decision has fallen meanwhile: the session ends again', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    const finish = await toProvider(browser, linkIn(await enter(browser)));
    stage.corp.meanwhile(() => devices.refuse(CODE));
    await browser.get(finish).expect(400);
    expect(await sessionsOf(stage)).toBe(0);
  });

  test('where the account is revoked while the user is at the provider', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    const finish = await toProvider(browser, linkIn(await enter(browser)));
    await stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-alice' } });
    await browser.get(finish).expect(400);
    expect(devices.allowed).toEqual([]);
  });

  test('where the user denies it, which is audited', async () => {
    const { stage, devices, browser } = await stageWithDevice();
    const page = await enter(browser);
    const ticket = /name="ticket" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    const form = { csrf: await csrfAt(browser), ticket };
    await browser.post('/device/refuse').set('Origin', PUBLIC_URL).type('form').send(form).expect(200);
    expect(devices.refused).toBe(1);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('device_refused');
    await browser.get(linkIn(page)).expect(400);
  });
});

test('a page shows what a device says of itself as text', async () => {
  const { browser } = await stageWithDevice();
  const { text } = await enter(browser);
  expect(text).toContain('portcullis on Linux');
  expect(text).toContain('&lt;b&gt;');
  expect(text).not.toMatch(/<script|<style|style=|\son\w+=|(?:src|href)="(?:https?:)?\/\//i);
});

describe('sameNetwork', () => {
  test('lets a browser beside the device through, and no other, whatever it knows', async () => {
    const { stage, devices, browser } = await stageWithDevice('sameNetwork');
    const page = await enter(browser);
    expect(page.status).toBe(200);
    devices.request = { ...devices.request, address: '203.0.113.7' };
    await browser.get(linkIn(page)).expect(403);
    expect((await enter(browser)).status).toBe(403);
    expect(annotation(stage.named('sign-in-refused').at(-1), 'reason')).toBe('device_in_other_network');
    expect(stage.corp.begun).toEqual([]);
  });

  test.each([
    ['203.0.113.7', '203.0.113.7', true],
    ['203.0.113.7', '203.0.113.200', true],
    ['203.0.113.7', '203.0.114.7', false],
    ['2001:db8:1:22ff::1', '2001:db8:1:2200::2', true],
    ['2001:db8:1:2200::1', '2001:db8:1:2300::1', false],
    ['fe80::1%eth0', 'fe80::2%eth1', true],
    ['203.0.113.7', '::ffff:203.0.113.7', false],
    ['', '', false],
    ['nonsense', 'nonsense', false],
  ])('%s and %s: %s', (left, refund, same) => {
    expect(sameNetwork(left, refund)).toBe(same);
    expect(sameNetwork(refund, left)).toBe(same);
  });
});

describe('the limit on codes', () => {
  function limited() {
    let time = 0;
    const limit = createCodeLimit(30, { nowMs: () => time });
    return { limit, after: (seconds: number) => void (time += seconds * 1000) };
  }

  test('lets three wrong ones a minute through from one address, also all at once', () => {
    const { limit, after } = limited();
    expect([1, 2, 3, 4].map(() => limit.take({ address: '203.0.113.7' }))).toEqual([0, 0, 0, 20]);
    after(20);
    expect(limit.take({ address: '203.0.113.7' })).toBe(0);
    expect(limit.take({ address: '203.0.113.7' })).toBeGreaterThan(0);
  });

  test('lets thirty wrong ones a minute through in all, from however many addresses', () => {
    const { limit } = limited();
    const tries = Array.from({ length: 100 }, (_, index) => limit.take({ address: `203.0.113.${index}` }));
    expect(tries.filter((wait) => wait === 0)).toHaveLength(30);
  });

  test('takes a whole IPv6 network for one address', () => {
    const { limit } = limited();
    const tries = Array.from({ length: 10 }, (_, index) => limit.take({ address: `2001:db8::${index + 1}` }));
    expect(tries.filter((wait) => wait === 0)).toHaveLength(3);
  });

  test('costs a tenth for a client that types right ones', () => {
    const { limit } = limited();
    for (let code = 0; code < 20; code += 1) {
      expect(limit.take({ address: '203.0.113.7' })).toBe(0);
      limit.refund({ address: '203.0.113.7' });
    }
  });
});
