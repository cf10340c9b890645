/** `config probe`: checks what will work with a live identity provider and what will not, before any user signs in. */
import type { Config, ProviderConfig } from '../config/config.ts';
import { plainJson, plainText } from '../cli/terminal/plain-text.ts';
import { table } from '../cli/terminal/table.ts';
import { no, ok, type Result } from '../core/result.ts';
import { probeGithub } from '../idp/probe/github.ts';
import { probeProvider } from '../idp/probe/probe.ts';
import type { ProbeOutcome, ProbeReport, ProbeRow, Registration } from '../idp/probe/row.ts';
import { providerParts } from '../server/dependencies.ts';
import { createLogger } from '../telemetry/telemetry.ts';

/**
 * @param name the provider's; may be left out where there is one
 * @returns the results, or a message why nothing was requested
 */
export async function probe(config: Config, name: string | undefined): Promise<Result<ProbeReport, string>> {
  const [only, ...others] = config.providers;
  const wanted = name ?? (others.length === 0 ? only?.name : undefined);
  const provider = config.providers.find((each) => each.name === wanted);
  if (provider === undefined) {
    const names = config.providers.map((each) => each.name).join(', ');
    return no(name === undefined ? `give --provider, one of: ${names}` : `--provider must be one of: ${names}`);
  }
  // The table holds what a sign-in would log about the provider.
  const parts = providerParts(config, provider, {
    logger: createLogger({ level: 'error', destination: { write: () => undefined } }),
  });
  const rows =
    parts.kind === 'github' ? await probeGithub(parts.options) : await probeProvider(parts.options, provider);
  const { type, issuer } = provider;
  return ok({ provider: provider.name, type, issuer, rows, register: registrations(config.publicUrl, provider) });
}

function registrations(publicUrl: string, { name, type, backchannelLogout }: ProviderConfig): readonly Registration[] {
  const callback = { what: 'redirect URI', address: `${publicUrl}/callback/${name}` };
  if (type === 'github') return [callback];
  return [
    callback,
    ...(backchannelLogout === 'off'
      ? []
      : [{ what: 'back-channel logout URI', address: `${publicUrl}/backchannel-logout/${name}` }]),
    { what: 'post-logout redirect URI', address: `${publicUrl}/` },
  ];
}

/** @returns whether something that a sign-in needs will not work */
export const isHopeless = ({ rows }: ProbeReport): boolean =>
  rows.some(({ outcome, needed }) => needed && outcome === 'fails');

export const probeJson = (report: ProbeReport): string => plainJson(report);

const RESULTS: Readonly<Record<ProbeOutcome, string>> = {
  works: 'works',
  fails: 'will not work',
  unknown: 'unknown',
};

const resultOf = ({ outcome, needed }: ProbeRow): string =>
  outcome === 'fails' && !needed ? `${RESULTS.fails} (optional)` : RESULTS[outcome];

/** Formats the report as text. A terminal interprets no character of the provider's. */
export function formatReport({ provider, type, issuer, rows, register }: ProbeReport): string {
  const cells = rows.map((row) => [row.check, resultOf(row), row.seen]);
  const actions = rows.flatMap(({ check, action }) => (action === undefined ? [] : [plainText(`${check}: ${action}`)]));
  const count = (outcome: ProbeOutcome): number => rows.filter((row) => row.outcome === outcome).length;
  return [
    plainText(`${provider} (${type}), ${issuer}`),
    '',
    table(['CHECK', 'RESULT', 'SEEN'], cells),
    ...(actions.length === 0 ? [] : ['To do', ...actions.map((line) => `  ${line}`), '']),
    'Register at the provider',
    ...register.map(({ what, address }) => `  ${what.padEnd(26)}${address}`),
    '',
    `${count('works')} work, ${count('fails')} will not, ${count('unknown')} are unknown before a sign-in.`,
  ].join('\n');
}
