/** A server at which devices wait, and users with browsers who decide about them. */
import type { ChildProcess } from 'node:child_process';
import type { Config } from '../../src/config/config.ts';
import { USERS } from '../../demo/demo.ts';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { startTestInstance, withParts, type TestInstance } from './instance.ts';
import type { Answer, OAuthClient } from './oauth-client.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

export interface WaitingDevice {
  readonly deviceCode: string;
  readonly userCode: string;
}

export interface DeviceStage extends TestInstance {
  readonly contact: string;
  readonly device: OAuthClient;
  readonly thief: OAuthClient;
  begin(extra?: Record<string, string>): Promise<WaitingDevice>;
  poll(waiting: WaitingDevice, who?: OAuthClient): Promise<Answer>;
  /** Types a code, as far as the page that asks whether it is one's own device. */
  enter(browser: Visitor, userCode: string): Promise<Visit>;
  /** From typing the code to the end of the sign-in. */
  allow(user: string, waiting: WaitingDevice, browser?: Visitor): Promise<Visit>;
}

export interface DeviceStageOptions {
  readonly redis?: true;
  readonly deviceCode?: Config['sessions']['deviceCode'];
  /** Many by default: a test is one address. */
  readonly signInsPerMinute?: number;
}

export function visitor(user: string, options?: ConstructorParameters<typeof Visitor>[1]): Visitor {
  const who = USERS.find(({ name }) => name === user);
  if (who === undefined) throw new Error(`no user is called ${user}`);
  return new Visitor(who, options);
}

export const fieldIn = (page: Visit, name: string): string =>
  new RegExp(`name="${name}" value="([^"]+)"`).exec(page.html)?.[1] ?? '';

/** The path of the link to allow. */
export const allowLinkIn = (page: Visit): string | undefined =>
  /href="(\/device\/start[^"]+)"/.exec(page.html)?.[1]?.replaceAll('&amp;', '&');

export async function startDeviceStage({
  deviceCode = 'on',
  signInsPerMinute = 1000,
  ...options
}: DeviceStageOptions = {}): Promise<DeviceStage> {
  let contact = '';
  const instance = await startTestInstance({
    ...options,
    loaded(config) {
      ({ contact } = config);
      return {
        ...config,
        sessions: { ...config.sessions, deviceCode },
        limits: { ...config.limits, signInsPerMinute },
      };
    },
  });
  const { web } = instance;
  const [device, thief] = [await instance.connect(), await instance.connect()];
  const enter = async (browser: Visitor, userCode: string): Promise<Visit> => {
    const csrf = fieldIn(await browser.visit(`${web}/device`), 'csrf');
    return browser.visit(`${web}/device`, new URLSearchParams({ csrf, user_code: userCode }));
  };
  const parts: Omit<DeviceStage, keyof TestInstance> = {
    contact,
    device,
    thief,
    enter,
    async begin(extra = {}) {
      const { body } = await device.post('/-/oauth/device', { client_id: 'portcullis-cli', ...extra });
      return { deviceCode: String(body['device_code']), userCode: String(body['user_code']) };
    },
    poll: ({ deviceCode: device_code }, who = device) => who.token({ grant_type: GRANT, device_code }),
    async allow(user, { userCode }, browser = visitor(user)) {
      const page = await enter(browser, userCode);
      const link = allowLinkIn(page);
      if (link === undefined) throw new Error(`no link to allow: ${page.status} ${page.html}`);
      return browser.visit(`${web}${link}`);
    },
  };
  return withParts(instance, parts);
}

/** Resolves with what the pattern captures of a command's messages. @throws if it ends before */
export function shown(command: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    command.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const found = pattern.exec(output)?.[1];
      if (found !== undefined) resolve(found);
    });
    command.once('close', () => reject(new Error(`it was not shown: ${output}`)));
  });
}
