/** `config probe` next to a configuration with one provider: as an operator types it, or within the test. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { probe } from '../../src/commands/provider-probe.ts';
import type { ProbeReport, ProbeRow } from '../../src/idp/probe/row.ts';
import { FILES, loaded, settings, temporaryDirectory, writeFiles } from '../unit/config/sandbox.ts';
import { bareEnvironment } from './bare-environment.ts';
import { CLIENT, startVendorIdp, type VendorIdp, type VendorTraits } from './vendor-idp.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Where the configuration has users sent back to. */
export const PROBED_CALLBACK = 'https://portcullis.example.com/callback/corp';

/** A provider with which everything works. It goes when the test is over. */
export async function probedIdp(
  traits: Partial<VendorTraits> = {},
  change: (idp: VendorIdp) => void = () => undefined,
): Promise<VendorIdp> {
  const idp = await startVendorIdp({
    scopes: ['openid', 'profile', 'email', 'offline_access'],
    claims: { email: 'alice@example.com', email_verified: true },
    callback: PROBED_CALLBACK,
    ...traits,
  });
  onTestFinished(() => idp.close());
  change(idp);
  return idp;
}

export type ProviderSettings = Readonly<Record<string, unknown>>;
type NamedFiles = Readonly<Record<string, string>>;

/** Its store cannot be reached: only the provider is asked. */
const configured = (provider: ProviderSettings) => ({
  ...settings(),
  admin: {},
  store: { redis: { url: 'redis://127.0.0.1:1' } },
  providers: [{ name: 'corp', clientId: CLIENT.id, clientSecretFile: 'client-secret', ...provider }],
});

/** @param files in addition to those that every configuration needs; the client's secret is in `client-secret` */
export async function typed(
  provider: ProviderSettings,
  { args = [], files = {} }: { readonly args?: readonly string[]; readonly files?: NamedFiles } = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const directory = temporaryDirectory();
  const yaml = stringify(configured(provider));
  writeFiles(directory, { ...FILES, 'client-secret': CLIENT.secret, ...files, 'portcullis.yaml': yaml });
  const command = [MAIN, 'config', 'probe', '--config', join(directory, 'portcullis.yaml'), ...args];
  const child = spawn(process.execPath, command, { env: bareEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

interface Probed {
  readonly report: ProbeReport;
  readonly row: (check: string) => ProbeRow;
}

export async function probed(provider: ProviderSettings, files: NamedFiles = {}): Promise<Probed> {
  const { config } = await loaded(configured(provider), { 'client-secret': CLIENT.secret, ...files });
  const outcome = await probe(config, undefined);
  if (!outcome.ok) throw new Error(outcome.reason);
  const report = outcome.value;
  return {
    report,
    row: (check) => {
      const found = report.rows.find((row) => row.check === check);
      if (found === undefined) throw new Error(`there is no row ${check}`);
      return found;
    },
  };
}
