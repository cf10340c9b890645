/** `posture`: checks the security of a cluster with the caller's own rights, through Portcullis. It only reads. */
import { readFileSync } from 'node:fs';
import type { AppError } from '../core/errors.ts';
import { contextName } from '../core/kubeconfig.ts';
import { createChecks, type Checks } from './rules/evaluate.ts';
import type { Settings } from './rules/check.ts';
import { KIND_NAMES, type Kind } from './rules/kinds.ts';
import { parseWaivers, type Waiver } from './rules/waivers.ts';
import { report as reportOf, verdictOf, type FailOn, type Report } from './rules/report.ts';
import { locateEntry } from '../cli/session/cache.ts';
import { cliError } from '../cli/errors.ts';
import type { CliContext } from '../cli/context.ts';
import { plainText } from '../cli/terminal/plain-text.ts';
import { printResult, type OutputOptions } from '../cli/terminal/output.ts';
import { parseClusterName } from '../cli/http/server-url.ts';
import type { SignedInUser } from '../cli/session/session.ts';
import { whichServer, type ServerOptions } from '../cli/session/which-server.ts';
import { openCluster, type ClusterApi } from '../cli/session/cluster-api.ts';
import { readKind } from './cluster-lists.ts';
import { reportData, reportText } from './report-text.ts';

export interface PostureOptions extends ServerOptions, OutputOptions {
  readonly cluster: string;
  readonly failOn: FailOn;
  readonly prefix?: readonly string[];
  readonly proxyAccount: string;
  readonly waivers?: string;
}

/**
 * @throws AppError `conflict` where a finding is as severe as `--fail-on`, `forbidden` where a rule of that
 *   severity lacks a right or an option, `bad_request` for options and waivers that cannot be used
 */
export async function posture(cli: CliContext, options: PostureOptions): Promise<void> {
  const cluster = parseClusterName(options.cluster);
  const proxyAccount = parseAccount(options.proxyAccount);
  const given = parsePrefixes(options.prefix);
  const waivers = options.waivers === undefined ? [] : await readWaivers(options.waivers);
  const server = whichServer(cli.environment, options);
  const { api, user } = await openCluster(cli, locateEntry(cli.environment.cacheDir, server), cluster);
  const settings: Settings = { prefixes: given ?? prefixesOf(user), proxyAccount, now: cli.nowMs() };
  const checks = createChecks(settings);
  const unreadable = await readAll(cli, api, checks);
  const context = contextName(server.url, cluster);
  const report = reportOf({ checks: checks.all, unreadable, waivers, context, now: settings.now });
  const reportContext = { server: server.url, cluster, context, at: new Date(settings.now).toISOString() };
  await printResult(cli, options, reportData(report, reportContext), () =>
    reportText(report, reportContext, cli.columns),
  );
  conclude(report, options.failOn);
}

/** @returns the reason for each kind that cannot be read */
export async function readAll(
  cli: Pick<CliContext, 'showProgress' | 'detail'>,
  api: ClusterApi,
  checks: Checks,
): Promise<ReadonlyMap<Kind, string>> {
  const progress = progressOf(cli);
  const unreadable = new Map<Kind, string>();
  try {
    for (const kind of KIND_NAMES) {
      progress.show(kind, 0, 0);
      const why = await readKind(api, kind, {
        begin: () => checks.begin(kind),
        add: (object) => checks.add(kind, object),
        onPage: (taken, total) => progress.show(kind, taken, total),
      });
      cli.detail(`${kind}: ${why ?? 'read'}`);
      if (why !== undefined) unreadable.set(kind, why);
    }
  } finally {
    progress.end();
  }
  if (unreadable.size === KIND_NAMES.length) throw nothingReadable(unreadable);
  return unreadable;
}

function nothingReadable(unreadable: ReadonlyMap<Kind, string>): Error {
  const reasons = [...new Set(unreadable.values())];
  const forbidden = reasons.every((why) => why.startsWith('403'));
  return forbidden
    ? cliError(
        'forbidden',
        'You may not read anything of this cluster that the rules need.',
        'ask for the right to list: docs/posture.md names the kinds',
      )
    : cliError('upstream_unavailable', `The cluster cannot be read: ${reasons.join('; ')}.`, 'try again in a moment');
}

/** @throws AppError `bad_request` */
function parseAccount(text: string): Settings['proxyAccount'] {
  const [, namespace, name] = /^([a-z0-9-]{1,63})\/([a-z0-9.-]{1,253})$/.exec(text) ?? [];
  if (namespace === undefined || name === undefined) {
    throw cliError(
      'bad_request',
      '--proxy-account is not NAMESPACE/NAME.',
      'give --proxy-account portcullis/portcullis',
    );
  }
  return { namespace, name };
}

/** @throws AppError `bad_request` */
function parsePrefixes(given: readonly string[] | undefined): readonly string[] | undefined {
  // With either, names that Kubernetes reserves would count as users of Portcullis.
  if (given?.some((prefix) => prefix === '' || 'system:'.startsWith(prefix) || prefix.startsWith('system:'))) {
    throw cliError('bad_request', '--prefix cannot be empty or the beginning of system:.', 'give --prefix corp:');
  }
  return given;
}

/** Groups of `access.roles` begin so, as docs/access-requests.md asks: Portcullis gives them for a while. */
const GRANTED_PREFIX = 'granted:';

/**
 * Returns the text up to the first colon of the caller's own names: a provider's prefix, as whoami shows it. The
 * scheme of a URL is not one: with `https:` the names of every other issuer would count as users of Portcullis. And the
 * prefix of groups that are granted for a while. Empty where the caller's names have none.
 */
export function prefixesOf({ username, groups }: Pick<SignedInUser, 'username' | 'groups'>): readonly string[] {
  const prefixes = [username, ...groups].map((name) => /^[^:]+:(?!\/\/)/.exec(name)?.[0] ?? '');
  const own = [...new Set(prefixes)].filter((prefix) => prefix !== '' && prefix !== 'system:');
  return own.length === 0 ? [] : [...own, GRANTED_PREFIX];
}

function conclude(report: Report, failOn: FailOn): void {
  const verdict = verdictOf(report, failOn);
  if (verdict === 'failed') {
    const what = `There are findings of severity ${failOn}${failOn === 'high' ? '' : ' or worse'}.`;
    throw cliError(
      'conflict',
      what,
      'fix them as the report shows, or waive them with a reason and a day: --waivers FILE',
    );
  }
  if (verdict === 'refused') {
    const what = 'Not every rule could be evaluated: you may not read everything that they need.';
    throw cliError('forbidden', what, 'ask for the right to list what the report names as not readable');
  }
  if (verdict === 'incomplete') {
    const what = 'Not every rule could be evaluated: an option is missing.';
    throw cliError(
      'forbidden',
      what,
      'give the option that the report names, or waive the rule with object "*": --waivers FILE',
    );
  }
}

/** Reads the file of `--waivers`. @throws AppError `bad_request` with every validation error of the file */
async function readWaivers(file: string): Promise<readonly Waiver[]> {
  const parsed = parseWaivers(await readYaml(file));
  if ('waivers' in parsed) return parsed.waivers;
  throw unusable(file, parsed.errors.map((one) => `\n  ${plainText(one)}`).join(''));
}

async function readYaml(file: string): Promise<unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw cliError('bad_request', `The waivers ${plainText(file)} cannot be read.`, 'check --waivers', { cause });
  }
  const { parse } = await import('yaml');
  try {
    return parse(text);
  } catch (cause) {
    // The parser repeats the line in its message; the file is the user's own.
    throw unusable(file, ` ${plainText(cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : 'no YAML')}`);
  }
}

const unusable = (file: string, why: string): AppError =>
  cliError(
    'bad_request',
    `The waivers ${plainText(file)} cannot be used:${why}`,
    'docs/posture.md shows how they look',
  );

/** Cells of the progress bar. */
const CELLS = 20;

interface Progress {
  show(kind: Kind, taken: number, total: number): void;
  end(): void;
}

function progressOf(context: Pick<CliContext, 'showProgress'>): Progress {
  let stop = (): void => undefined;
  return {
    show(kind, taken, total) {
      stop();
      stop = context.showProgress(progressText(kind, taken, total));
    },
    end() {
      stop();
      stop = () => undefined;
    },
  };
}

/** Returns `[######--------------] pods 12500 of 50000`: each kind has the same share of the bar. */
function progressText(kind: Kind, taken: number, total: number): string {
  const part = total === 0 ? 0 : Math.min(1, taken / total);
  const filled = Math.floor(((KIND_NAMES.indexOf(kind) + part) / KIND_NAMES.length) * CELLS);
  const message = total === 0 ? kind : `${kind} ${taken} of ${total}`;
  return `[${'#'.repeat(filled)}${'-'.repeat(CELLS - filled)}] ${message}`;
}
