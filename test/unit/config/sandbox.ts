import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig, type ValidationError, type LoadedConfig } from '../../../src/config/load.ts';

/** A directory that goes when the test is over. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-config-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Writes files, with the directories that they need. */
export function writeFiles(base: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(base, name)), { recursive: true });
    writeFileSync(join(base, name), content);
  }
}

export const FILES = {
  'tls.crt': 'certificate',
  'tls.key': 'key',
  token: 'upstream-token\n',
  'client-secret': 'client-secret\n',
  'keys/signing/.keep': '',
  'keys/sealing/.keep': '',
} as const;

type Settings = Record<string, unknown>;

/** The smallest good configuration; tests spoil it. */
export const settings = () => ({
  publicUrl: 'https://portcullis.example.com',
  listen: {
    api: { certFile: 'tls.crt', keyFile: 'tls.key', publicUrl: 'https://api.example.com:6443' } as Settings,
    web: { certFile: 'tls.crt', keyFile: 'tls.key' } as Settings,
  },
  store: { memory: {} } as Settings,
  keys: { signingDir: 'keys/signing', sealingDir: 'keys/sealing' } as Settings,
  providers: [{ name: 'corp', issuer: 'https://login.example.com', clientId: 'portcullis' } as Settings],
  clusters: [
    {
      name: 'prod',
      hosts: ['prod.example.com'],
      server: 'https://10.0.0.1:6443',
      tokenFile: 'token',
      impersonate: { groups: '*' },
    } as Settings,
  ],
  admin: { groups: ['corp:platform'] } as Settings,
});

/** Loads `content` (text, or settings to be written as YAML) as a file beside `FILES` and others. */
async function load(content: string | object, env: Record<string, string> = {}, files: Record<string, string> = {}) {
  const directory = temporaryDirectory();
  const text = typeof content === 'string' ? content : stringify(content);
  writeFiles(directory, { ...FILES, ...files, 'portcullis.yaml': text });
  return { directory, outcome: await loadConfig({ file: join(directory, 'portcullis.yaml'), env }) };
}

export async function loaded(
  content: string | object,
  files: Record<string, string> = {},
): Promise<LoadedConfig & { readonly directory: string }> {
  const { directory, outcome } = await load(content, {}, files);
  if (!outcome.ok) throw new Error(JSON.stringify(outcome.reason, undefined, 1));
  return { ...outcome.value, directory };
}

export async function errorsOf(
  content: string | object,
  env: Record<string, string> = {},
  files: Record<string, string> = {},
): Promise<readonly ValidationError[]> {
  const { outcome } = await load(content, env, files);
  if (outcome.ok) throw new Error('was accepted');
  return outcome.reason;
}

/** The settings of the errors alone, sorted. */
export const placesOf = async (
  content: string | object,
  files: Record<string, string> = {},
): Promise<readonly string[]> => (await errorsOf(content, {}, files)).map(({ path }) => path).toSorted();
