/** The environment of the user's machine. No other file of this module reads it. */
import { homedir, hostname } from 'node:os';
import { posix, win32 } from 'node:path';
import { proxyVariables, type ProxyVariables } from '../core/http/proxy-url.ts';
import { defined } from '../core/defined.ts';

/** Versions of `client.authentication.k8s.io`. Older clients, Python's and Ruby's among them, know only the second. */
export type ExecVersion = 'v1' | 'v1beta1';

export interface Environment {
  /** The folder where sessions are kept; it may not exist yet. */
  readonly cacheDir: string;
  /**
   * `PORTCULLIS_DELEGATED_DIR`: the folder of a delegated session, which is then the only one. Nothing that leads to a
   * user's or a workload's session is read beside it, whatever a wrapper of this program sets.
   */
  readonly delegatedDir?: string;
  /** Default of `--server`. */
  readonly server?: string;
  /** `PORTCULLIS_NO_BROWSER` is set to anything but the empty string, `0` or `false`. */
  readonly noBrowser: boolean;
  /** Default of `--token-file`: a workload's own token, used in place of a sign-in. */
  readonly tokenFile?: string;
  /** `$BROWSER`: commands separated by colons, each optionally with `%s` in place of the address. */
  readonly browser?: string;
  /**
   * The machine is reached over SSH and has neither a display nor `$BROWSER`: no user would see a browser that
   * opens here.
   */
  readonly remote: boolean;
  /** The files of `$KUBECONFIG`, or kubectl's default; at least one. */
  readonly kubeconfigs: readonly [string, ...string[]];
  /** The version that the calling program understands, from `KUBERNETES_EXEC_INFO`. */
  readonly execVersion: ExecVersion;
  readonly platform: NodeJS.Platform;
  /** The folder of Windows, for its own programs; on Windows alone. */
  readonly systemRoot?: string;
  /** As the system has it, perhaps with a domain; not yet checked. */
  readonly hostName: string;
  /** Linux inside Windows, where the user's browser is the one of Windows. */
  readonly wsl: boolean;
  /** `PORTCULLIS_CREDENTIAL_STORE`: where sessions are kept, for every server; not yet checked. */
  readonly credentialStore?: string;
  /** Where the user's D-Bus may be, which leads to the Secret Service. */
  readonly bus: SessionBus;
}

/** `DBUS_SESSION_BUS_ADDRESS`, and the folder in which a bus without that variable has its socket. */
export interface SessionBus {
  readonly address?: string;
  readonly runtimeDir?: string;
}

/** Names the folder of a delegated session, for this program in its kubeconfig and for the command that was given it. */
export const DELEGATED_DIR = 'PORTCULLIS_DELEGATED_DIR';

/**
 * Variables by which other programs find a cluster, an identity or a kubeconfig without `$KUBECONFIG`: Helm, Ansible,
 * Terraform's providers, and the service account of the pod in which a command runs.
 */
const OTHER_WAYS =
  /^(?:HELM_KUBE\w*|K8S_AUTH_\w+|KUBE_(?:CONFIG|CTX|HOST|TOKEN|USER)\w*|KUBERNETES_SERVICE_\w+|PORTCULLIS_(?:CACHE_DIR|CREDENTIAL_STORE|SERVER|TOKEN_FILE))$/;

/** Returns the environment of a command that is given a delegated session: this one without other ways to a cluster. */
export function delegatedEnvironment(
  dir: string,
  kubeconfig: string,
  env: Readonly<NodeJS.ProcessEnv> = process.env,
): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !OTHER_WAYS.test(name));
  return { ...Object.fromEntries(kept), KUBECONFIG: kubeconfig, [DELEGATED_DIR]: dir };
}

/** Reads what the commands need from `env`; checks nothing on disk. An empty variable counts as absent. */
export function readEnvironment(
  env: Readonly<NodeJS.ProcessEnv> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
  hostName: string = hostname(),
): Environment {
  const delegatedDir = env['PORTCULLIS_DELEGATED_DIR'] || undefined;
  const unlessDelegated = (text: string | undefined): string | undefined =>
    delegatedDir === undefined ? text || undefined : undefined;
  const server = unlessDelegated(env['PORTCULLIS_SERVER']);
  const browser = env['BROWSER']?.trim() || undefined;
  const forbidden = env['PORTCULLIS_NO_BROWSER'];
  const tokenFile = unlessDelegated(env['PORTCULLIS_TOKEN_FILE']);
  const credentialStore = unlessDelegated(env['PORTCULLIS_CREDENTIAL_STORE']);
  return {
    cacheDir: delegatedDir ?? cacheDirectory(env, platform, home),
    ...defined({ delegatedDir, server }),
    noBrowser: delegatedDir !== undefined || (forbidden !== undefined && !['', '0', 'false'].includes(forbidden)),
    ...defined({ tokenFile, browser }),
    remote: Boolean(env['SSH_CONNECTION']) && !env['DISPLAY'] && !env['WAYLAND_DISPLAY'] && browser === undefined,
    kubeconfigs: kubeconfigsOf(env, platform) ?? [pathsOf(platform).join(home, '.kube', 'config')],
    execVersion: execVersionOf(env['KUBERNETES_EXEC_INFO']),
    platform,
    ...(platform === 'win32' ? { systemRoot: env['SystemRoot'] || String.raw`C:\Windows` } : {}),
    hostName,
    wsl: platform === 'linux' && Boolean(env['WSL_DISTRO_NAME']),
    ...defined({ credentialStore }),
    bus: sessionBusOf(env, platform),
  };
}

/** The rules for paths of that system, whatever this one is. */
const pathsOf = (platform: NodeJS.Platform): typeof posix => (platform === 'win32' ? win32 : posix);

function sessionBusOf(env: Readonly<NodeJS.ProcessEnv>, platform: NodeJS.Platform): SessionBus {
  const address = env['DBUS_SESSION_BUS_ADDRESS'] || undefined;
  const runtimeDir = env['XDG_RUNTIME_DIR'] || undefined;
  return {
    ...defined({ address }),
    ...(runtimeDir === undefined || !pathsOf(platform).isAbsolute(runtimeDir) ? {} : { runtimeDir }),
  };
}

/** How the network is reached, by the variables that kubectl and OpenSSL read too. */
export interface NetworkEnvironment extends ProxyVariables {
  /** `SSL_CERT_FILE`: PEM of further trusted CAs. */
  readonly certFile?: string;
  /** `SSL_CERT_DIR`: folders of such files. */
  readonly certDirs: readonly string[];
}

/** Reads the network variables. */
export function readNetwork(
  env: Readonly<NodeJS.ProcessEnv> = process.env,
  platform: NodeJS.Platform = process.platform,
): NetworkEnvironment {
  const certFile = env['SSL_CERT_FILE'] || undefined;
  return {
    ...proxyVariables(env),
    ...defined({ certFile }),
    certDirs: (env['SSL_CERT_DIR'] ?? '').split(platform === 'win32' ? ';' : ':').filter((dir) => dir !== ''),
  };
}

/**
 * Returns the version that the client asks for. A client accepts no other version than the one its kubeconfig
 * names.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#input-and-output-formats
 */
function execVersionOf(info: string | undefined): ExecVersion {
  try {
    const parsed: unknown = JSON.parse(info ?? 'null');
    const isObject = typeof parsed === 'object' && parsed !== null && 'apiVersion' in parsed;
    return isObject && parsed.apiVersion === 'client.authentication.k8s.io/v1beta1' ? 'v1beta1' : 'v1';
  } catch {
    return 'v1';
  }
}

function cacheDirectory(env: Readonly<NodeJS.ProcessEnv>, platform: NodeJS.Platform, home: string): string {
  const configured = env['PORTCULLIS_CACHE_DIR'];
  if (configured) return configured;
  const paths = pathsOf(platform);
  const base = platform === 'win32' ? env['LOCALAPPDATA'] : env['XDG_CACHE_HOME'];
  // Relative paths must be ignored (XDG Base Directory Specification): a credential must not land in the current
  // folder.
  return paths.join(base && paths.isAbsolute(base) ? base : paths.join(home, '.cache'), 'portcullis');
}

function kubeconfigsOf(
  env: Readonly<NodeJS.ProcessEnv>,
  platform: NodeJS.Platform,
): readonly [string, ...string[]] | undefined {
  const [first, ...others] = (env['KUBECONFIG'] ?? '').split(platform === 'win32' ? ';' : ':').filter(Boolean);
  return first === undefined ? undefined : [first, ...others];
}
