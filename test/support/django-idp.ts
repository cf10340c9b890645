/**
 * Django OAuth Toolkit of Debian, a real OpenID provider that this project did not write, over TLS with its own CA on loopback.
 * `test/fixtures/django-idp.py` is its Django project; what a test changes is changed in Django's own tables.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { exportPKCS8, generateKeyPair } from 'jose';
import { makeCertificates } from '../../demo/certificates.ts';
import { freePort } from '../../demo/ports.ts';
import { temporaryFolder } from './instance.ts';

/** Debian's, whose package it is; another Python first on PATH knows nothing of it. */
const PYTHON = '/usr/bin/python3';
const PROJECT = fileURLToPath(new URL('../fixtures/django-idp.py', import.meta.url));

export interface DjangoClient {
  readonly id: string;
  readonly secret: string;
  /** Redirect URI. */
  readonly callback: string;
  /** Whether users are not asked for consent. */
  readonly skipConsent: boolean;
}

export interface DjangoUser {
  readonly name: string;
  readonly password: string;
  readonly groups: readonly string[];
}

export interface DjangoIdp {
  readonly issuer: string;
  /** PEM of the CA that its certificate is issued by. */
  readonly ca: string;
  addClient(client: DjangoClient): Promise<unknown>;
  addUser(user: DjangoUser): Promise<unknown>;
  setGroups(user: string, groups: readonly string[]): Promise<unknown>;
  /** Django's `is_active`. */
  setActive(user: string, active: boolean): Promise<unknown>;
  /** Makes the user's last sign-in one of that many seconds ago, for `auth_time`. */
  signedInBefore(user: string, seconds: number): Promise<unknown>;
  secondsSinceLogin(user: string): Promise<unknown>;
  setSecret(client: string, secret: string): Promise<unknown>;
  /**
   * Signs with another key from now on. Keys are settings of Django, so it is started once more.
   * @param keep whether the key before is still published
   */
  rotateKey(keep: boolean): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param host by which it is known; it listens on loopback alone
 * @throws Error that names the package to install, where it is missing
 */
export async function startDjangoIdp(host = 'localhost'): Promise<DjangoIdp> {
  const folder = await temporaryFolder();
  const port = await freePort();
  const issuer = `https://${host}:${port}/o`;
  const certificates = await makeCertificates([host], Date.now());
  await writeFile(join(folder, 'tls.crt'), certificates.cert);
  await writeFile(join(folder, 'tls.key'), certificates.key, { mode: 0o600 });
  const settings = { folder, host, port, issuer, djangoSecret: randomBytes(32).toString('hex') };
  let keys = [await newKey()];
  const start = (): Promise<Running> => startProject(join(folder, 'settings.json'), { ...settings, keys });
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  let running = await start().catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  return {
    issuer,
    ca: certificates.ca,
    addClient: (client) => running.command({ do: 'add_client', ...client }),
    addUser: (user) => running.command({ do: 'add_user', ...user }),
    setGroups: (name, groups) => running.command({ do: 'set_groups', name, groups }),
    setActive: (name, active) => running.command({ do: 'set_active', name, active }),
    signedInBefore: (name, seconds) => running.command({ do: 'signed_in_before', name, seconds }),
    secondsSinceLogin: (name) => running.command({ do: 'seconds_since_login', name }),
    setSecret: (id, secret) => running.command({ do: 'set_secret', id, secret }),
    async rotateKey(keep) {
      keys = [await newKey(), ...(keep ? keys : [])];
      await running.stop();
      running = await start();
    },
    async close() {
      await running.stop();
      await remove();
    },
  };
}

async function newKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return exportPKCS8(privateKey);
}

interface Running {
  /** @returns the command's result */
  command(command: object): Promise<unknown>;
  stop(): Promise<void>;
}

async function startProject(file: string, settings: object): Promise<Running> {
  await writeFile(file, JSON.stringify(settings), { mode: 0o600 });
  const child = spawn(PYTHON, [PROJECT, file], { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = endOf(child);
  // Anyone who waits for a line hears of it.
  ended.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<unknown> => {
    const { done, value } = await lines.next();
    return done === true ? ended : (JSON.parse(value) as { result?: unknown }).result;
  };
  await nextLine();
  // One at a time, so that each line is the response to the command before it.
  let last: Promise<unknown> = Promise.resolve();
  return {
    command(command) {
      last = last.then(() => {
        child.stdin.write(`${JSON.stringify(command)}\n`);
        return nextLine();
      });
      return last;
    },
    async stop() {
      child.stdin.end();
      await ended.catch(() => {});
    },
  };
}

/** Rejects at the end of the process, with what it said. */
async function endOf(child: ChildProcess): Promise<never> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // Rejects where there is no such program.
  await once(child, 'close').catch((error: unknown) => (stderr += String(error)));
  const missing = /No module named|ENOENT/.test(stderr);
  throw new Error(
    missing
      ? `Django OAuth Toolkit is not installed: sh scripts/tools python3-django-oauth-toolkit\n${stderr}`
      : `Django OAuth Toolkit ended: ${stderr}`,
  );
}
