/** `config probe` next to a configuration with one provider: as an operator types it, or within the test. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { formatSignIn, probe, probeBySignIn, probeJson, type SignInReport } from '../../src/commands/provider-probe.ts';
import type { ProbeReport, ProbeRow } from '../../src/idp/probe/row.ts';
import { FILES, loaded, settings, temporaryDirectory, writeFiles } from '../unit/config/sandbox.ts';
import { startProgram, type Ended } from './program.ts';
import { CLIENT, startVendorIdp, type VendorIdp, type VendorTraits } from './vendor-idp.ts';

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

interface Typed {
  readonly args?: readonly string[];
  /** In addition to those that every configuration needs; the client's secret is in `client-secret`. */
  readonly files?: NamedFiles;
  /** Called for each address that it shows; the line to type. Absent: standard input is empty. */
  readonly browser?: (shown: URL) => Promise<string>;
}

export async function typed(
  provider: ProviderSettings,
  { args = [], files = {}, browser }: Typed = {},
): Promise<Ended> {
  const directory = temporaryDirectory();
  const yaml = stringify(configured(provider));
  writeFiles(directory, { ...FILES, 'client-secret': CLIENT.secret, ...files, 'portcullis.yaml': yaml });
  const command = ['config', 'probe', '--config', join(directory, 'portcullis.yaml'), ...args];
  const { child, ended } = startProgram(command, { env: { PORTCULLIS_NO_BROWSER: '1' } });
  if (browser === undefined) child.stdin.end();
  else {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const shown = /^ {2}(http\S+)$/.exec(line)?.[1];
      if (shown !== undefined) void browser(new URL(shown)).then((text) => child.stdin.write(`${text}\n`));
    });
  }
  return ended;
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
  return { report, row: rowsOf(report) };
}

const rowsOf =
  ({ rows }: ProbeReport): Probed['row'] =>
  (check) => {
    const found = rows.find((row) => row.check === check);
    if (found === undefined) throw new Error(`there is no row ${check}`);
    return found;
  };

interface SignedIn extends Probed {
  readonly report: SignInReport;
  /** Messages to the operator. */
  readonly told: readonly string[];
  /** How many addresses were shown. */
  readonly visits: number;
  /** All that is printed, as text and as JSON. */
  readonly printed: string;
}

interface Operation {
  readonly files?: NamedFiles;
  /** What the operator does where a user can be disabled. Absent: no terminal is there. */
  readonly disables?: () => string;
}

/**
 * `config probe --sign-in` within the test.
 * @param browser the line that the operator types for this address; undefined ends it
 */
export async function signedIn(
  provider: ProviderSettings,
  browser: (shown: URL) => Promise<string | undefined> | string | undefined,
  { files = {}, disables }: Operation = {},
): Promise<SignedIn> {
  const { config } = await loaded(configured(provider), { 'client-secret': CLIENT.secret, ...files });
  const told: string[] = [];
  let [visits, shown] = [0, new URL(PROBED_CALLBACK)];
  const outcome = await probeBySignIn(config, undefined, () => ({
    open(url) {
      visits += 1;
      shown = url;
    },
    tell: (text) => void told.push(text),
    ask: async (question) => (question.startsWith('Address') ? browser(shown) : disables?.()),
    attended: disables !== undefined,
  }));
  if (!outcome.ok) throw new Error(outcome.reason);
  const report = outcome.value;
  return { report, row: rowsOf(report), told, visits, printed: formatSignIn(report) + probeJson(report) };
}
