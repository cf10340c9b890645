/** `store check`: whether a Redis, managed or not, is suitable as the store, before any user depends on it. */
import { readFileSync } from 'node:fs';
import { printResult, type OutputOptions } from '../cli/terminal/output.ts';
import { plainText } from '../cli/terminal/plain-text.ts';
import { writeStdout } from '../cli/terminal/stdout.ts';
import { table } from '../cli/terminal/table.ts';
import { readSecretFile } from '../config/files.ts';
import { store as storeSection } from '../config/store.ts';
import { no, ok, type Result } from '../core/result.ts';
import { checkStore, type CheckRow } from '../store/redis/check/check.ts';
import type { RedisSettings } from '../store/redis/settings.ts';
import { loadGiven, MISCONFIGURED, type Environment } from './given-config.ts';
import { defined } from '../core/defined.ts';

const FAILED = 1;

/** The options of `store check`. Those of a server are only for a URL. */
export interface StoreCheckOptions extends OutputOptions {
  readonly config?: string;
  readonly prefix?: string;
  readonly nodes?: string;
  readonly username?: string;
  readonly passwordFile?: string;
  readonly caFile?: string;
}

/** What was checked, for scripts. Never a password. */
interface StoreReport {
  readonly url: string;
  readonly prefix: string;
  readonly nodes: number;
  readonly suitable: boolean;
  readonly rows: readonly CheckRow[];
}

/** @returns exit status: 0, 1 where a row is `no`, or 2 for wrong use or configuration */
export async function storeCheck(
  url: string | undefined,
  options: StoreCheckOptions,
  env: Environment,
): Promise<number> {
  const settings = url === undefined ? await configuredSettings(options, env) : givenSettings(url, options, env);
  if (settings === undefined) return MISCONFIGURED;
  if (!settings.ok) {
    console.error(settings.reason);
    return MISCONFIGURED;
  }
  const { prefix, nodes = 1, sentinel } = settings.value;
  process.once('uncaughtException', endUnreadable);
  const rows = await checkStore(settings.value);
  process.removeListener('uncaughtException', endUnreadable);
  const suitable = rows.every(({ outcome }) => outcome !== 'no');
  const report = { url: settings.value.url, prefix, nodes, suitable, rows };
  const by = sentinel === undefined ? '' : `, ${sentinel.master} by Sentinel`;
  await printResult({ print: writeStdout }, options, report, () => formatReport(report, by));
  return suitable ? 0 : FAILED;
}

/**
 * An attacker who controls the server replies to SUBSCRIBE with something else, which ioredis throws outside of every
 * call, so the command ends here, with a message and not with a stack.
 */
function endUnreadable(): never {
  console.error('this is no Redis: it sent a reply that cannot be read');
  process.exit(FAILED);
}

async function configuredSettings(
  { config: file, prefix, nodes, username, passwordFile, caFile }: StoreCheckOptions,
  env: Environment,
): Promise<Result<RedisSettings, string> | undefined> {
  if ([prefix, nodes, username, passwordFile, caFile].some((each) => each !== undefined))
    return no(
      '--prefix, --nodes, --username, --password-file and --ca-file are for a URL; with --config they are in the file',
    );
  const loaded = await loadGiven(file, env);
  if (loaded === undefined) return undefined;
  const { storeSettings } = await import('../server/dependencies.ts');
  const settings = storeSettings(loaded.config);
  return settings === undefined
    ? no('`store.memory` is in the server itself: there is nothing to check')
    : ok(settings);
}

function givenSettings(
  url: string,
  { config, prefix, nodes, username, passwordFile, caFile }: StoreCheckOptions,
  env: Environment,
): Result<RedisSettings, string> {
  if (config !== undefined) return no('give a URL or --config, not both');
  // By the rules of the configuration. An attacker who lists processes reads a password in a URL, so it is rejected.
  const section = storeSection.safeParse({
    redis: {
      url,
      ...defined({ prefix }),
      ...(nodes === undefined ? {} : { nodes: Number(nodes) }),
    },
  });
  if (!section.success || section.data.kind !== 'redis') {
    const issues = section.error?.issues ?? [];
    return no(issues.map(({ path, message }) => messageOf(path.at(-1), message)).join('\n'));
  }
  const redis = section.data;
  try {
    const ca = caFile === undefined ? undefined : readFileSync(caFile, 'utf8');
    const secretFile = passwordFile ?? env['PORTCULLIS_REDIS_PASSWORD_FILE'];
    const password = secretFile === undefined ? env['REDISCLI_AUTH'] : readSecretFile(secretFile);
    return ok({
      url: redis.url,
      prefix: redis.prefix,
      nodes: redis.nodes,
      username,
      password,
      ...(ca === undefined ? {} : { ca: () => ca }),
    });
  } catch (error) {
    return no(error instanceof Error ? error.message : String(error));
  }
}

const messageOf = (name: PropertyKey | undefined, expected: string): string =>
  name === 'url'
    ? 'the URL must be as rediss://redis.example.com:6379; user and password belong in --username and --password-file'
    : `--${String(name)} must be ${expected}`;

/** Formats the report as text. A terminal interprets no character of the server's. */
function formatReport({ url, prefix, nodes, rows }: StoreReport, by: string): string {
  const count = (outcome: CheckRow['outcome']): number => rows.filter((row) => row.outcome === outcome).length;
  const width = Math.max(...rows.map(({ check }) => check.length)) + 2;
  return [
    plainText(`${url}${by}, prefix ${prefix}, nodes: ${nodes}`),
    '',
    table(
      ['CHECK', 'RESULT', 'NEEDED', 'FOUND'],
      rows.map((row) => [row.check, row.outcome, row.needed, row.found]),
    ),
    'What follows',
    ...rows.map(({ check, consequence }) => `  ${check.padEnd(width)}${consequence}`),
    '',
    `${count('ok')} ok, ${count('warn')} warn, ${count('no')} no.`,
    '',
  ].join('\n');
}
