/** A server in its own process, with Redis, whose every secret is known and whose every output is kept. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { exportJWK, generateKeyPair, type CryptoKey } from 'jose';
import { parse, stringify } from 'yaml';
import { USERS } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { RESOURCE } from '../support/exchange-stage.ts';
import { bareEnvironment } from '../support/bare-environment.ts';
import { Secrets, watchClients, watchProvider } from './canary-secrets.ts';
import { startTestInstance } from '../support/instance.ts';
import type { Finished } from '../support/kubectl.ts';
import type { Answer, Endpoints } from '../support/oauth-client.ts';
import { dumpRedis } from '../support/redis-dump.ts';
import { startRedis } from '../support/redis.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

interface Settings {
  telemetry?: { logLevel: string };
  limits?: Record<string, number>;
  delegation?: object;
  readonly keys: Readonly<Record<string, string>>;
  readonly listen: { readonly api: { readonly keyFile: string } };
  readonly clusters: readonly { readonly tokenFile: string }[];
}

export interface CanaryStage {
  readonly instance: RunningDemo;
  readonly secrets: Secrets;
  readonly endpoints: Endpoints;
  /** Of the registered client `mcp`, whose resource is `RESOURCE`. */
  readonly clientKey: CryptoKey;
  /** Keeps a response that is none of success, as a client was shown it. */
  readonly shown: (answer: Answer) => Answer;
  /** Keeps what a command has printed. */
  readonly printed: (finished: Finished) => Finished;
  /** Everything that was written so far, by where. */
  surfaces(): Promise<Readonly<Record<string, string | Buffer>>>;
  stop(): Promise<void>;
}

export async function startCanaryStage(): Promise<CanaryStage> {
  const secrets = new Secrets();
  const unwatch = [watchClients(secrets), watchProvider(secrets)];
  const redis = await startRedis();
  const instance = await startTestInstance({ redis: redis.url });
  // The same addresses and the same store, in its own process: whatever it writes to its log is seen.
  await instance.server.stop();
  const clientKey = await learnSettings(instance, secrets);
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', instance.files.config], {
    env: bareEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await untilReady(`${instance.urls.ops}/readyz`, () => child.exitCode !== null && stderr);
  const answers: Answer[] = [];
  const prints: string[] = [];
  const bare = new Redis(redis.url);
  return {
    instance,
    secrets,
    clientKey,
    endpoints: instance,
    shown(answer) {
      // A cookie is for the browser that it is set in.
      const { 'set-cookie': _cookies, ...headers } = answer.headers;
      if (answer.status >= 400) answers.push({ ...answer, headers });
      return answer;
    },
    printed(finished) {
      prints.push(finished.all);
      return finished;
    },
    async surfaces() {
      return {
        'the audit log': await readFile(instance.files.auditLog),
        'what unauthenticated clients left in the audit log': await readFile(instance.files.rejectedLog),
        'the log': stdout + stderr,
        metrics: await (await fetch(`${instance.urls.ops}/metrics`)).text(),
        Redis: (await dumpRedis(bare)).bytes,
        'an error page': JSON.stringify(answers),
        'the output of a command': prints.join('\n'),
      };
    },
    async stop() {
      for (const end of unwatch) end();
      bare.disconnect();
      child.kill('SIGTERM');
      await ended;
      await instance.stop();
      await redis.stop();
    },
  };
}

/** Every secret that the configuration names, and the passwords; sets the log as talkative as it can be. */
async function learnSettings({ files }: RunningDemo, secrets: Secrets): Promise<CryptoKey> {
  const settings = parse(await readFile(files.config, 'utf8')) as Settings;
  for (const { password } of USERS) secrets.add('password', password);
  secrets.add('client secret', files.clientSecret);
  const at = (file: string): string => resolve(files.directory, file);
  for (const { tokenFile } of settings.clusters)
    secrets.addToken('upstream token', (await readFile(at(tokenFile), 'utf8')).trim());
  secrets.addPem('key of TLS', await readFile(at(settings.listen.api.keyFile), 'utf8'));
  for (const directory of Object.values(settings.keys)) {
    for (const name of (await readdir(at(directory))).filter((file) => file.endsWith('.json'))) {
      secrets.addMembers('key file', JSON.parse(await readFile(join(at(directory), name), 'utf8')));
    }
  }
  settings.telemetry = { logLevel: 'debug' };
  settings.limits = { ...settings.limits, signInsPerMinute: 1000 };
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  secrets.addMembers('key of a client', { d: (await exportJWK(privateKey)).d });
  await writeFile(at('mcp.jwks'), JSON.stringify({ keys: [await exportJWK(publicKey)] }));
  const limit = { preset: 'read-only' };
  settings.delegation = {
    clients: [{ id: 'mcp', resource: RESOURCE, jwksFile: at('mcp.jwks'), limit, clusters: ['demo'] }],
  };
  await writeFile(files.config, stringify(settings));
  return privateKey;
}

async function untilReady(url: string, ended: () => string | false): Promise<void> {
  for (;;) {
    const error = ended();
    if (error !== false) throw new Error(`the server ended: ${error}`);
    const ready = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return;
    await pause(100);
  }
}
