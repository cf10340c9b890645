/**
 * `config check` and `config probe`. What judges claims or asks a provider is loaded where it is asked for: a check in
 * a pipeline takes a fraction of the time.
 */
import { createReadStream } from 'node:fs';
import { plainJson } from '../cli/terminal/plain-text.ts';
import type { Config } from '../config/config.ts';
import { loadGiven, MISCONFIGURED, type Environment } from './given-config.ts';

const FAILED = 1;
const REJECTED = 3;

/** The options of `config check`. */
export interface CheckOptions {
  readonly config?: string;
  /** `--no-files`: false. */
  readonly files?: boolean;
  /** A file of claims, `-` for standard input. */
  readonly claims?: string;
  /** The provider or workload rule of the claims. */
  readonly provider?: string;
  readonly output?: string;
}

/**
 * @returns exit status: 0, 2 with every validation error on standard error, or 3 where the given claims are
 *   rejected
 */
export async function checkConfig(options: CheckOptions, env: Environment): Promise<number> {
  const withoutFiles = options.files === false;
  const loaded = await loadGiven(options.config, env, withoutFiles ? { files: 'off' } : {});
  if (loaded === undefined) return MISCONFIGURED;
  const { config } = loaded;
  if (options.claims !== undefined) return checkClaims(config, { ...options, claims: options.claims });
  if (options.provider !== undefined) {
    console.error(
      '--provider names the provider of the claims and needs --claims FILE. To check the provider itself: portcullis config probe',
    );
    return MISCONFIGURED;
  }
  const facts = { providers: config.providers.length, clusters: config.clusters.length, store: config.store.kind };
  const message = `valid: ${facts.providers} provider(s), ${facts.clusters} cluster(s), store ${facts.store}${withoutFiles ? '; the files that it names were not read' : ''}`;
  console.log(options.output === 'json' ? plainJson(facts) : message);
  return 0;
}

async function checkClaims(
  config: Config,
  { claims: file, provider, output }: CheckOptions & { readonly claims: string },
): Promise<number> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  const { formatVerdict, judgeClaims, readClaims } = await import('./claims-check.ts');
  const claims = await readClaims(input).catch((error: unknown) => {
    console.error(`--claims: ${error instanceof Error ? error.message : String(error)}`);
  });
  if (claims === undefined) return MISCONFIGURED;
  if (!claims.ok) {
    console.error(`--claims ${file} is ${claims.reason}`);
    return MISCONFIGURED;
  }
  const verdict = judgeClaims(config, provider, claims.value);
  if (!verdict.ok) {
    console.error(verdict.reason);
    return MISCONFIGURED;
  }
  console.log(output === 'json' ? plainJson(verdict.value) : formatVerdict(verdict.value));
  return verdict.value.allowed ? 0 : REJECTED;
}

/** The options of `config probe`. */
export interface ProbeOptions extends Pick<CheckOptions, 'config' | 'provider' | 'output'> {
  /** `--sign-in`: true, or the provider's name. */
  readonly signIn?: string | true;
}

/**
 * @returns exit status: 0, 1 where something that a sign-in needs will not work or the operator was not signed in, or
 *   2 for wrong use or configuration
 */
export async function probeConfig(options: ProbeOptions, env: Environment): Promise<number> {
  const loaded = await loadGiven(options.config, env);
  if (loaded === undefined) return MISCONFIGURED;
  if (options.signIn !== undefined) return probeWithSignIn(loaded.config, options);
  const { formatReport, isHopeless, probe, probeJson } = await import('./provider-probe.ts');
  const report = await probe(loaded.config, options.provider).catch(onFailure);
  if (report === undefined) return MISCONFIGURED;
  if (!report.ok) {
    console.error(report.reason);
    return MISCONFIGURED;
  }
  console.log(options.output === 'json' ? probeJson(report.value) : formatReport(report.value));
  return isHopeless(report.value) ? FAILED : 0;
}

async function probeWithSignIn(config: Config, { signIn, provider, output }: ProbeOptions): Promise<number> {
  const named = signIn === true ? undefined : signIn;
  if (named !== undefined && provider !== undefined && named !== provider) {
    console.error('--sign-in and --provider name different providers');
    return MISCONFIGURED;
  }
  const { formatSignIn, isSignedIn, probeBySignIn, probeJson } = await import('./provider-probe.ts');
  const { createOperator } = await import('./sign-in-operator.ts');
  let close = (): void => undefined;
  const report = await probeBySignIn(config, named ?? provider, (name) => {
    const operator = createOperator(name);
    close = operator.close;
    return operator;
  })
    .catch(onFailure)
    .finally(() => close());
  if (report === undefined) return MISCONFIGURED;
  if (!report.ok) {
    console.error(report.reason);
    return MISCONFIGURED;
  }
  console.log(output === 'json' ? probeJson(report.value) : formatSignIn(report.value));
  return isSignedIn(report.value) ? 0 : FAILED;
}

const onFailure = (error: unknown): undefined => {
  console.error(error instanceof Error ? error.message : String(error));
};
