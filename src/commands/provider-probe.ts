/**
 * `config probe`: checks what will work with a live identity provider and what will not, before any user signs in, and
 * by a sign-in of the operator's own.
 */
import type { Config, ProviderConfig } from '../config/config.ts';
import { formatVerdict, rejectedVerdict, signedInVerdict, type ClaimsVerdict } from './claims-check.ts';
import { plainJson, plainText } from '../cli/terminal/plain-text.ts';
import { table } from '../cli/terminal/table.ts';
import { no, ok, type Result } from '../core/result.ts';
import { probeGithub } from '../idp/probe/github.ts';
import { probeProvider } from '../idp/probe/probe.ts';
import { bounded } from '../idp/probe/received.ts';
import type { ProbeOutcome, ProbeReport, ProbeRow, Registration } from '../idp/probe/row.ts';
import type { Operator } from '../idp/probe/operator.ts';
import { probeSignIn, type SignInProbe } from '../idp/probe/sign-in.ts';
import { providerParts, type ProviderParts } from '../server/dependencies.ts';
import { createLogger } from '../telemetry/telemetry.ts';
import { defined } from '../core/defined.ts';

/**
 * @param name the provider's; may be left out where there is one
 * @returns the results, or a message why nothing was requested
 */
export async function probe(config: Config, name: string | undefined): Promise<Result<ProbeReport, string>> {
  const chosen = chosenProvider(config, name);
  if (!chosen.ok) return chosen;
  const provider = chosen.value;
  const parts = quietParts(config, provider);
  const rows =
    parts.kind === 'github' ? await probeGithub(parts.options) : await probeProvider(parts.options, provider);
  return ok(reportOf(config, provider, rows));
}

/** What a sign-in of the operator's own has shown. */
export interface SignInReport extends ProbeReport {
  /** As received: not verified where the sign-in failed; cut to a size, and without tokens. */
  readonly claims: Readonly<Record<'idToken' | 'userInfo', unknown>>;
  /** The user who comes out, or the rule that rejects them. Absent where the sign-in did not get so far. */
  readonly verdict?: ClaimsVerdict;
}

/**
 * Signs the operator in at the provider, and keeps nothing of it.
 * @param operatorOf creates what talks to the operator, for the provider of this name
 */
export async function probeBySignIn(
  config: Config,
  name: string | undefined,
  operatorOf: (provider: string) => Operator,
): Promise<Result<SignInReport, string>> {
  const chosen = chosenProvider(config, name);
  if (!chosen.ok) return chosen;
  const provider = chosen.value;
  const signIn = await probeSignIn(quietParts(config, provider), provider, operatorOf(provider.name));
  const verdict = verdictOf(config, provider, signIn);
  const { idToken = {}, userInfo = {} } = signIn.claims;
  return ok({
    ...reportOf(config, provider, signIn.rows),
    claims: { idToken: bounded(idToken), userInfo: bounded(userInfo) },
    ...defined({ verdict }),
  });
}

function verdictOf(
  config: Config,
  provider: ProviderConfig,
  { user, error, claims }: SignInProbe,
): ClaimsVerdict | undefined {
  if (user !== undefined) return signedInVerdict(config, provider, user);
  if (error?.code !== 'sign_in_refused') return undefined;
  return rejectedVerdict(config, provider, { ...claims.userInfo, ...claims.idToken }, error.reason);
}

function chosenProvider(config: Config, name: string | undefined): Result<ProviderConfig, string> {
  const [only, ...others] = config.providers;
  const wanted = name ?? (others.length === 0 ? only?.name : undefined);
  const provider = config.providers.find((each) => each.name === wanted);
  if (provider !== undefined) return ok(provider);
  const names = config.providers.map((each) => each.name).join(', ');
  return no(name === undefined ? `give --provider, one of: ${names}` : `--provider must be one of: ${names}`);
}

/** The report holds what a sign-in would log about the provider. */
const quietParts = (config: Config, provider: ProviderConfig): ProviderParts =>
  providerParts(config, provider, {
    logger: createLogger({ level: 'error', destination: { write: () => undefined } }),
  });

const reportOf = (config: Config, provider: ProviderConfig, rows: readonly ProbeRow[]): ProbeReport => {
  const { name, type, issuer } = provider;
  return { provider: name, type, issuer, rows, register: registrations(config.publicUrl, provider) };
};

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

/** Whether the operator was signed in, and nothing failed that a user needs. */
export const isSignedIn = (report: SignInReport): boolean => report.verdict?.allowed === true && !isHopeless(report);

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

const countOf = (rows: readonly ProbeRow[], outcome: ProbeOutcome): number =>
  rows.filter((row) => row.outcome === outcome).length;

/** Formats the report as text. A terminal interprets no character of the provider's. */
export function formatReport(report: ProbeReport): string {
  const { rows, register } = report;
  const counts = `${countOf(rows, 'works')} work, ${countOf(rows, 'fails')} will not, ${countOf(rows, 'unknown')} are unknown`;
  return [
    ...rowLines(report),
    'Register at the provider',
    ...register.map(({ what, address }) => `  ${what.padEnd(26)}${address}`),
    '',
    `${counts} before a sign-in; one of yours shows more: portcullis config probe --sign-in.`,
  ].join('\n');
}

/** The same of a sign-in. */
export function formatSignIn(report: SignInReport): string {
  const { rows, claims, verdict } = report;
  return [
    ...rowLines(report),
    ...claimLines('Claims of the ID token', claims.idToken),
    ...claimLines(report.type === 'github' ? 'GitHub’s API' : 'Claims of UserInfo', claims.userInfo),
    ...(verdict === undefined ? [] : [formatVerdict(verdict), '']),
    `${countOf(rows, 'works')} work, ${countOf(rows, 'fails')} will not, ${countOf(rows, 'unknown')} are unknown. Nothing of this sign-in was kept here.`,
  ].join('\n');
}

function claimLines(title: string, claims: unknown): readonly string[] {
  const entries = Object.entries(claims as object);
  if (entries.length === 0) return [];
  return [
    title,
    ...entries.map(([name, value]) => plainText(`${name}: ${JSON.stringify(value)}`)).map((line) => `  ${line}`),
    '',
  ];
}

function rowLines({ provider, type, issuer, rows }: ProbeReport): readonly string[] {
  const cells = rows.map((row) => [row.check, resultOf(row), row.seen]);
  const actions = rows.flatMap(({ check, action }) => (action === undefined ? [] : [plainText(`${check}: ${action}`)]));
  return [
    plainText(`${provider} (${type}), ${issuer}`),
    '',
    table(['CHECK', 'RESULT', 'SEEN'], cells),
    ...(actions.length === 0 ? [] : ['To do', ...actions.map((line) => `  ${line}`), '']),
  ];
}
