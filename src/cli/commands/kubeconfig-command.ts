/**
 * `kubeconfig`: contexts for every cluster that the person may use.
 */
import { resolve } from 'node:path';
import { locateEntry } from '../cache.ts';
import { fault } from '../fault.ts';
import { mergeKubeconfig, type KubeconfigRequest } from '../kubeconfig.ts';
import { changeKubeconfig } from '../kubeconfig-file.ts';
import type { Laptop } from '../laptop.ts';
import { renew } from '../renewal.ts';
import { whichServer, type ServerOptions } from '../which-server.ts';

export interface KubeconfigOptions extends ServerOptions {
  /** To stdout instead of a file. */
  readonly print?: boolean;
  readonly file?: string;
  readonly command: string;
}

export async function kubeconfig(laptop: Laptop, options: KubeconfigOptions): Promise<void> {
  if (options.print === true && options.file !== undefined) {
    throw fault('bad_request', '--print and --file exclude each other.');
  }
  const server = whichServer(laptop.environment, options);
  // Asked afresh: what the person may use can have changed since they signed in.
  const { session } = await renew(laptop, locateEntry(laptop.environment.cacheDir, server), { accept: () => false });
  const { clusters } = session.person;
  if (clusters.length === 0) {
    throw fault('forbidden', 'There is no cluster that you may use.', 'ask your platform team for access');
  }
  const request: KubeconfigRequest = { server, clusters, command: options.command };
  if (options.print === true) return laptop.print(mergeKubeconfig('', request).text);
  const file = resolve(options.file ?? laptop.environment.kubeconfig);
  const merged = await changeKubeconfig(file, (existing) => mergeKubeconfig(existing, request));
  laptop.say(`wrote to ${file}: ${merged.contexts.join(', ')}`);
  const [first] = merged.contexts;
  laptop.say(
    merged.contexts.includes(merged.currentContext)
      ? `kubectl now uses ${merged.currentContext}`
      : `kubectl still uses ${merged.currentContext}; to change: kubectl config use-context ${first}`,
  );
}
