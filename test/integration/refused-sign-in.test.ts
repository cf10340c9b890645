/** A user is rejected in the browser: the command that waits learns it immediately, and prints the message of the page. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { shown, startDeviceStage, visitor, type DeviceStage } from '../support/device-stage.ts';
import { Machine, type Ended } from './cli/machine.ts';

const LOCKED = 'Your account is locked here. Ask your platform team to unlock it.';

let stage: DeviceStage;
let machine: Machine;
beforeAll(async () => {
  stage = await startDeviceStage();
  const lock = { reason: 'INC-1', by: 'root', at: Math.floor(Date.now() / 1000) };
  await stage.server.store.log.append({ requestId: 'lock', target: { kind: 'account', account: 'demo/alice' }, lock });
});
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.remove());
afterAll(() => stage.stop());

/** The request id under which the rejection is audited. */
async function recordedId(): Promise<string> {
  const [event] = (await stage.events('sign-in-refused')).slice(-1);
  expect(event?.annotations['portcullis.dev/reason']).toBe('account_locked');
  return event?.auditID ?? '';
}

async function saysWhatThePageSays(ended: Ended, login: string): Promise<void> {
  expect(ended).toMatchObject({ code: 3, stdout: '' });
  expect(ended.stderr).toContain(
    [
      `The sign-in was refused: ${LOCKED}`,
      `Whom to ask: ${stage.contact}`,
      `Request id: ${await recordedId()}`,
      `Next: ask there and give the request id, or use another account: ${login}`,
    ].join('\n  '),
  );
}

test.each([['login'], ['get-token', '--cluster', 'demo']])(
  '%s ends with the rejection of a locked user, and the browser shows the same message',
  async (...args) => {
    machine.env = { BROWSER: '/bin/true' };
    const command = machine.startPlugin(...args, '--server', stage.web);
    const ended = machine.ended(command);
    const page = await visitor('alice').visit(await shown(command, /go to:\n\s+(\S+)\n/));
    await saysWhatThePageSays(await ended, `portcullis login --server ${stage.web}`);
    expect(page.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback\?error=access_denied&/);
    expect(page.html).toContain(LOCKED);
    expect(page.html).toContain(`<p>Whom to ask: ${stage.contact}</p><p>Request id: ${await recordedId()}</p>`);
  },
);

test('a device learns of it at its next poll, and the user on the page', async () => {
  const command = machine.startPlugin('login', '--device', '--server', stage.web);
  const ended = machine.ended(command);
  const userCode = await shown(command, /^ {2}([A-Z]{4}-[A-Z]{4})$/m);
  const page = await stage.allow('alice', { userCode, deviceCode: '' });
  expect(page).toMatchObject({ status: 403, html: expect.stringContaining(LOCKED) });
  expect(page.html).toContain(await recordedId());
  await saysWhatThePageSays(await ended, `portcullis login --device --server ${stage.web}`);
});
