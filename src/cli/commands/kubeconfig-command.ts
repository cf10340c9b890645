/** `kubeconfig`: contexts for every cluster that the user may use. */
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { newKubeconfig, type KubeconfigRequest } from '../../core/kubeconfig.ts';
import { locateEntry, type Server } from '../session/cache.ts';
import { cliError } from '../errors.ts';
import { refuseDelegated } from '../session/delegated.ts';
import {
  mentionsServer,
  mergeKubeconfig,
  namesCurrentContext,
  type MergedKubeconfig,
} from '../kubeconfig/kubeconfig.ts';
import { kubercText, pluginCommands } from '../kubeconfig/kuberc.ts';
import { changeKubeconfig, chooseKubeconfig, readKubeconfig } from '../kubeconfig/kubeconfig-file.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { renew } from '../session/renewal.ts';
import type { ReachableCluster } from '../session/session.ts';
import { table } from '../terminal/table.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';

export interface KubeconfigOptions extends ServerOptions, OutputOptions {
  /** Writes a whole kubeconfig to stdout instead of a file. */
  readonly print?: boolean;
  /** Prints what kubectl's own configuration needs, so that it starts no other plugin. */
  readonly kuberc?: boolean;
  /** Shows the change and writes nothing. */
  readonly dryRun?: boolean;
  readonly file?: string;
  readonly command: string;
  /** A workload has a token file and no session. */
  readonly tokenFile?: string;
}

export async function kubeconfig(context: CliContext, options: KubeconfigOptions): Promise<void> {
  checkUse(options);
  if (options.kuberc === true) return printKuberc(context, options.command);
  const server = whichServer(context.environment, options);
  // Its kubeconfig is there already, and this would remove contexts of the user's own from another one.
  refuseDelegated(context, server, 'write another kubeconfig');
  const named = options.tokenFile ?? context.environment.tokenFile;
  const tokenFile = named === undefined ? undefined : resolve(named);
  const clusters = await clustersOf(context, server, tokenFile);
  const request: KubeconfigRequest = {
    server: server.url,
    clusters,
    command: options.command,
    args: [
      ...(server.caFile === undefined ? [] : ['--ca-file', server.caFile]),
      ...(tokenFile === undefined ? [] : ['--token-file', tokenFile]),
    ],
  };
  if (options.print === true) {
    if (clusters.length === 0) throw noCluster();
    return context.print(stringify(newKubeconfig(request), { lineWidth: 0 }));
  }
  const { file, others } = targetFile(context, options, server.url);
  const currentElsewhere = others.some((other) => namesCurrentContext(readKubeconfig(other)));
  const merge = (existing: string): MergedKubeconfig => {
    const merged = mergeKubeconfig(existing, request, { file, currentElsewhere });
    // A user without any cluster left has nothing to write, but perhaps stale contexts to remove.
    if (merged.contexts.length === 0) throw noCluster();
    return merged;
  };
  const dryRun = options.dryRun === true;
  const merged = dryRun ? merge(readKubeconfig(file)) : await changeKubeconfig(file, merge);
  const { contexts, currentContext } = merged;
  await printResult(context, options, { file, dryRun, contexts, currentContext }, () => described(context, merged));
  notifyOutcome(context, { file, dryRun, merged, currentElsewhere });
}

/** Needs no session: users and their platform teams print it once. */
function printKuberc(context: CliContext, command: string): void {
  const texts = context.environment.kubeconfigs.map((file) => readKubeconfig(resolve(file)));
  const others = new Set(texts.flatMap(pluginCommands));
  others.delete(command);
  context.print(kubercText(command, [...others]));
  context.notify(
    'put these lines into ~/.kube/kuberc, or add the last keys to the one that you have; then kubectl starts no other plugin',
  );
}

/** Requests the clusters again: they can have changed since the user signed in. */
async function clustersOf(
  context: CliContext,
  server: Server,
  tokenFile: string | undefined,
): Promise<readonly ReachableCluster[]> {
  if (tokenFile !== undefined) {
    return (await import('../plugin/workload-token.ts')).clustersOfWorkload(context, { server, tokenFile });
  }
  const entry = locateEntry(context.environment.cacheDir, server);
  return (await renew(context, entry, { accept: () => false })).session.user.clusters;
}

function checkUse({ print, kuberc, dryRun, file, output }: KubeconfigOptions): void {
  if (print !== true && kuberc !== true) return;
  const option = kuberc === true ? '--kuberc' : '--print';
  if (file !== undefined || dryRun === true || output !== undefined || (print === true && kuberc === true)) {
    const next = `give ${option} alone, or leave it out`;
    throw cliError('bad_request', `${option} goes to stdout, so it excludes --file, --dry-run and --output.`, next);
  }
}

/** Returns the file to write to, and the other files that kubectl reads. */
function targetFile(
  context: CliContext,
  { file }: KubeconfigOptions,
  server: string,
): { readonly file: string; readonly others: readonly string[] } {
  if (file !== undefined) return { file: resolve(file), others: [] };
  const files = context.environment.kubeconfigs.map((path) => resolve(path));
  const chosen = chooseKubeconfig(files, (text) => mentionsServer(text, server));
  return { file: chosen, others: files.filter((path) => path !== chosen) };
}

const described = (context: CliContext, { contexts }: MergedKubeconfig): string =>
  table(
    ['CONTEXT', 'CHANGE', 'SERVER'],
    contexts.map(({ name, change, server }) => [name, change, server]),
    context.columns,
  );

function notifyOutcome(
  context: CliContext,
  facts: {
    readonly file: string;
    readonly dryRun: boolean;
    readonly merged: MergedKubeconfig;
    readonly currentElsewhere: boolean;
  },
): void {
  const { contexts, currentContext } = facts.merged;
  const idle = contexts.every(({ change }) => change === 'unchanged');
  const written = facts.dryRun ? `nothing was written; this command would change ${facts.file}` : `wrote ${facts.file}`;
  context.notify(idle ? `${facts.file} is up to date` : written);
  const usable = contexts.filter(({ change }) => change !== 'removed');
  const [first] = usable;
  const use = first === undefined ? 'kubectl config get-contexts' : `kubectl config use-context ${first.name}`;
  if (usable.some(({ name }) => name === currentContext)) {
    context.notify(`kubectl ${facts.dryRun ? 'would use' : 'now uses'} ${currentContext}`);
  } else if (currentContext !== '' || facts.currentElsewhere) {
    context.notify(
      `kubectl’s current context stays ${currentContext || 'as another file of KUBECONFIG has it'}; to change it: ${use}`,
    );
  } else {
    context.notify(`kubectl’s current context was for a cluster that you may no longer use; to choose another: ${use}`);
  }
}

function noCluster(): Error {
  const message = 'You may not use any cluster.';
  return cliError('forbidden', message, 'ask your platform team for access, then run portcullis kubeconfig again');
}
