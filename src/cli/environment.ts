/**
 * The laptop as the commands see it. The only file of this room that reads the environment.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface Environment {
  /** Where sessions are kept; may not exist yet. */
  readonly cacheDir: string;
  /** Default of `--server`. */
  readonly server?: string;
  /** `PORTCULLIS_NO_BROWSER` is set to anything but the empty string, `0` or `false`. */
  readonly noBrowser: boolean;
  /** `$BROWSER`: a command, optionally with `%s` where the address goes. */
  readonly browser?: string;
  /** Reached over SSH, with no display and no `$BROWSER`: a browser that opened here would be seen by nobody. */
  readonly remote: boolean;
  /** First file of `$KUBECONFIG`, or kubectl's default. */
  readonly kubeconfig: string;
  readonly platform: NodeJS.Platform;
}

/** Reads what the commands need from `env`; nothing is checked on disk. An empty variable counts as absent. */
export function readEnvironment(
  env: Readonly<NodeJS.ProcessEnv> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): Environment {
  const server = env['PORTCULLIS_SERVER'] || undefined;
  const browser = env['BROWSER']?.trim() || undefined;
  const forbidden = env['PORTCULLIS_NO_BROWSER'];
  return {
    cacheDir: cacheDirectory(env, platform, home),
    ...(server === undefined ? {} : { server }),
    noBrowser: forbidden !== undefined && !['', '0', 'false'].includes(forbidden),
    ...(browser === undefined ? {} : { browser }),
    remote: Boolean(env['SSH_CONNECTION']) && !env['DISPLAY'] && !env['WAYLAND_DISPLAY'] && browser === undefined,
    kubeconfig: firstKubeconfig(env, platform) ?? join(home, '.kube', 'config'),
    platform,
  };
}

function cacheDirectory(env: Readonly<NodeJS.ProcessEnv>, platform: NodeJS.Platform, home: string): string {
  const own = env['PORTCULLIS_CACHE_DIR'];
  if (own) return own;
  const base = platform === 'win32' ? env['LOCALAPPDATA'] : env['XDG_CACHE_HOME'];
  return join(base || join(home, '.cache'), 'portcullis');
}

function firstKubeconfig(env: Readonly<NodeJS.ProcessEnv>, platform: NodeJS.Platform): string | undefined {
  return env['KUBECONFIG']?.split(platform === 'win32' ? ';' : ':').find((file) => file !== '');
}
