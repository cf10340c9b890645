/** A user's machine as the documents have it: nothing but `portcullis`, kubectl and a browser, and no file yet. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { builtCommand } from './built-program.ts';
import { programsIn } from './page-blocks.ts';
import { PageShell } from './page-shell.ts';

const BROWSER = fileURLToPath(new URL('../../demo/headless-browser.ts', import.meta.url));

/**
 * @param user of the demo's identity provider, who signs in when a browser opens
 * @param more environment in addition, such as that of a network with a proxy
 * @param portcullis what the command starts, quoted for sh
 */
export async function terminalOf(
  folder: string,
  user: string,
  more: NodeJS.ProcessEnv = {},
  portcullis = builtCommand(),
): Promise<PageShell> {
  const home = join(folder, `home-of-${user}`);
  await mkdir(home, { recursive: true });
  const bin = await programsIn(home, { portcullis: `exec ${portcullis} "$@"` });
  return new PageShell(home, {
    HOME: home,
    KUBECONFIG: join(home, '.kube', 'config'),
    PATH: `${bin}:${process.env['PATH']}`,
    PORTCULLIS_CACHE_DIR: join(home, 'cache'),
    PORTCULLIS_DEMO_USER: user,
    BROWSER,
    ...more,
  });
}
