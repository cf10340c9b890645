/**
 * `audit verify` and `audit anchors`: work on the files of the audit log. What reads a configuration and its Redis is
 * loaded only where one is given.
 */
import { readFile } from 'node:fs/promises';
import type { JWK } from 'jose';
import { formatVerdict } from '../audit/verify/report.ts';
import { verifyAuditLog } from '../audit/verify/verify.ts';
import { plainJson } from '../cli/terminal/plain-text.ts';
import { writeStdout } from '../cli/terminal/stdout.ts';
import type { Config } from '../config/config.ts';
import { loadAuditPublicKeys, loadSealingKeys } from '../config/keys.ts';
import type { Environment } from './given-config.ts';
import { patiently } from './patient-store.ts';

const FAILED = 1;
/** Wrong use or configuration (docs/reference/cli.md#exit-codes). */
const WRONG_USE = 2;

const print = (text: string): void => writeStdout(`${text}\n`);
const printError = (text: string): void => void process.stderr.write(`${text}\n`);

/** The options of `audit verify`. */
export interface AuditVerifyOptions {
  /** Folder of JWK files, as `keys.auditDir`. */
  readonly keys?: string;
  /** A JWK Set or a JWK. */
  readonly public?: string;
  /** A file with one anchor on each line. */
  readonly anchors?: string;
  /** Takes keys and anchors from this configuration. */
  readonly config?: string;
  readonly replica?: string;
  readonly sink?: string;
  readonly strict?: true;
  readonly output?: string;
}

class UsageError extends Error {}

/**
 * @returns exit status: 0 proven, 1 tampered (or, with `strict`, not proven completely), 2 for wrong use or an
 *   unreadable file
 */
export async function verifyAudit(
  files: readonly string[],
  options: AuditVerifyOptions,
  env: Environment,
): Promise<number> {
  try {
    const config = options.config === undefined ? undefined : await configOf(options.config, env);
    const keys = await keysOf(options, config);
    const anchors = await anchorsOf(options, config);
    const { replica, sink } = options;
    const verdict = await verifyAuditLog({
      files,
      keys,
      ...(anchors && { anchors }),
      ...(replica && { replica }),
      ...(sink && { sink }),
    });
    print(options.output === 'json' ? plainJson(verdict) : formatVerdict(verdict));
    const whole = options.strict !== true || verdict.notes.every(({ kind }) => kind !== 'limit');
    return verdict.proven && whole ? 0 : FAILED;
  } catch (error) {
    printError(`audit verify: ${error instanceof Error ? error.message : String(error)}`);
    return WRONG_USE;
  }
}

/**
 * Prints the anchors in Redis, one on each line, to be kept where no one who can write to Redis can change them.
 * @returns exit status: 0, 1 where Redis is unavailable, 2 for a configuration without any
 */
export async function listAnchors(file: string, env: Environment): Promise<number> {
  try {
    for (const anchor of await anchorsIn(await configOf(file, env))) print(anchor);
    return 0;
  } catch (error) {
    printError(`audit anchors: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof UsageError ? WRONG_USE : FAILED;
  }
}

async function configOf(file: string, env: Environment): Promise<Config> {
  const { formatErrors, loadConfig } = await import('../config/load.ts');
  const loaded = await loadConfig({ file, env });
  if (!loaded.ok) throw new UsageError(formatErrors(loaded.reason));
  return loaded.value.config;
}

async function keysOf(
  { keys: folder, public: file }: AuditVerifyOptions,
  config: Config | undefined,
): Promise<ReadonlyMap<string, JWK>> {
  const sources = [folder, file, config?.keys.auditDir].filter((source) => source !== undefined);
  if (sources.length === 0) {
    throw new UsageError(
      'give the keys that signed the audit log: --keys DIR (as keys.auditDir), --public FILE (from: portcullis keys public), or --config FILE whose keys.auditDir is set',
    );
  }
  const loaded = await Promise.all(sources.map(loadAuditPublicKeys));
  return new Map(loaded.flatMap((keys) => [...keys]));
}

/** @returns undefined where none were requested */
async function anchorsOf(
  { anchors: file }: AuditVerifyOptions,
  config: Config | undefined,
): Promise<readonly string[] | undefined> {
  const kept =
    file === undefined ? [] : (await readFile(file, 'utf8')).split('\n').filter((line) => line.trim() !== '');
  const inRedis = config === undefined || config.store.kind === 'memory' ? [] : await anchorsIn(config);
  return file === undefined && config === undefined ? undefined : [...kept.map((line) => line.trim()), ...inRedis];
}

async function anchorsIn(config: Config): Promise<readonly string[]> {
  if (config.store.kind === 'memory')
    throw new UsageError('with `store.memory` no anchors are kept outside the server');
  const { openStore } = await import('../server/dependencies.ts');
  const { createLogger } = await import('../telemetry/telemetry.ts');
  const logger = createLogger({ level: 'error' });
  const store = openStore(config, await loadSealingKeys(config.keys.sealingDir), logger);
  try {
    return await patiently(() => store.anchors.list());
  } finally {
    await store.close();
  }
}
