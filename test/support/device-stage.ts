/** A server at which devices wait, and users with browsers who decide about them. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { USERS } from '../../demo/demo.ts';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestInstance } from './instance.ts';
import { newClientKey, OAuthClient, type Answer, type Endpoints } from './oauth-client.ts';
import { startRedis } from './redis.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

export interface WaitingDevice {
  readonly deviceCode: string;
  readonly userCode: string;
}

export interface DeviceStage {
  readonly web: string;
  readonly contact: string;
  readonly server: RunningServer;
  readonly endpoints: Endpoints;
  readonly device: OAuthClient;
  readonly thief: OAuthClient;
  begin(extra?: Record<string, string>): Promise<WaitingDevice>;
  poll(waiting: WaitingDevice, who?: OAuthClient): Promise<Answer>;
  /** Types a code, as far as the page that asks whether it is one's own device. */
  enter(browser: Visitor, userCode: string): Promise<Visit>;
  /** From typing the code to the end of the sign-in. */
  allow(user: string, waiting: WaitingDevice, browser?: Visitor): Promise<Visit>;
  /** Events of one name, oldest first. */
  events(name: string): Promise<readonly AuditEvent[]>;
  stop(): Promise<void>;
}

export interface DeviceStageOptions {
  readonly redis?: boolean;
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

export async function startDeviceStage(options: DeviceStageOptions = {}): Promise<DeviceStage> {
  const redis = options.redis === true ? await startRedis() : undefined;
  const instance = await startTestInstance(redis === undefined ? {} : { redis: redis.url });
  // The same addresses, with the settings of the test.
  await instance.server.stop();
  const config = await configuration(instance.files.config, options);
  const server = await startServer(config);
  await server.ready;
  const { web, api } = instance.urls;
  const endpoints = { web, api, ca: await readFile(`${instance.files.directory}/ca.crt`, 'utf8') };
  const device = new OAuthClient(endpoints, await newClientKey());
  const thief = new OAuthClient(endpoints, await newClientKey());
  const enter = async (browser: Visitor, userCode: string): Promise<Visit> => {
    const csrf = fieldIn(await browser.visit(`${web}/device`), 'csrf');
    return browser.visit(`${web}/device`, new URLSearchParams({ csrf, user_code: userCode }));
  };
  return {
    web,
    contact: config.contact,
    server,
    endpoints,
    device,
    thief,
    enter,
    async begin(extra = {}) {
      const { body } = await device.post('/-/oauth/device', { client_id: 'portcullis-cli', ...extra });
      return { deviceCode: String(body['device_code']), userCode: String(body['user_code']) };
    },
    poll: ({ deviceCode }, who = device) => who.token({ grant_type: GRANT, device_code: deviceCode }),
    async allow(user, { userCode }, browser = visitor(user)) {
      const page = await enter(browser, userCode);
      const link = allowLinkIn(page);
      if (link === undefined) throw new Error(`no link to allow: ${page.status} ${page.html}`);
      return browser.visit(`${web}${link}`);
    },
    async events(name) {
      await server.audit.flush();
      return (await auditedBy(instance)).filter(({ annotations }) => annotations['portcullis.dev/event'] === name);
    },
    async stop() {
      await device.close();
      await thief.close();
      await server.stop();
      await instance.stop();
      await redis?.stop();
    },
  };
}

async function configuration(file: string, options: DeviceStageOptions): Promise<Config> {
  const loaded = await loadConfig({ file, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const { deviceCode = 'on', signInsPerMinute = 1000 } = options;
  return {
    ...config,
    sessions: { ...config.sessions, deviceCode },
    limits: { ...config.limits, signInsPerMinute },
  };
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
