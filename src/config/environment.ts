/**
 * The environment form: one provider, one cluster and Redis, for a start without a file. It builds the same
 * document that a file would, so that both are validated by the same rules.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Path, SourceDocument } from './document.ts';
import { pathText, type ValidationError } from './validation-errors.ts';
import { nearest } from '../core/nearest.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Names the file; not part of the environment form. */
export const FILE_VARIABLE = 'PORTCULLIS_CONFIG';

/** Each variable with the settings that it stands for. */
const VARIABLES: Readonly<Record<string, readonly Path[]>> = {
  PORTCULLIS_PUBLIC_URL: [['publicUrl']],
  PORTCULLIS_API_PUBLIC_URL: [['listen', 'api', 'publicUrl']],
  PORTCULLIS_REDIS_URL: [['store']],
  PORTCULLIS_REDIS_PASSWORD_FILE: [['store', 'redis', 'passwordFile']],
  PORTCULLIS_OIDC_ISSUER: [['providers', 0, 'issuer']],
  PORTCULLIS_OIDC_CLIENT_ID: [['providers', 0, 'clientId']],
  PORTCULLIS_OIDC_CLIENT_SECRET_FILE: [['providers', 0, 'clientSecretFile']],
  PORTCULLIS_KUBE_SERVER: [['clusters', 0, 'server']],
  PORTCULLIS_KUBE_CA_FILE: [['clusters', 0, 'caFile']],
  PORTCULLIS_KUBE_TOKEN_FILE: [['clusters', 0, 'tokenFile']],
  PORTCULLIS_TLS_CERT_FILE: [
    ['listen', 'api', 'certFile'],
    ['listen', 'web', 'certFile'],
  ],
  PORTCULLIS_TLS_KEY_FILE: [
    ['listen', 'api', 'keyFile'],
    ['listen', 'web', 'keyFile'],
  ],
  PORTCULLIS_KEYS_DIR: [['keys']],
  PORTCULLIS_ADMIN_GROUPS: [['admin', 'groups']],
};

export const ENVIRONMENT_VARIABLES: readonly string[] = Object.keys(VARIABLES);

/** Returns the variables of the environment form that are set; an empty one is not. */
export const setVariables = (env: Environment): readonly string[] =>
  ENVIRONMENT_VARIABLES.filter((name) => valueOf(env, name) !== undefined);

/**
 * Returns variables with nearly one of our names. Others under `PORTCULLIS_` are ignored: Kubernetes sets
 * `PORTCULLIS_SERVICE_HOST` and the like in every pod beside a Service of that name.
 */
export function misspelt(env: Environment): readonly ValidationError[] {
  const known = [...ENVIRONMENT_VARIABLES, FILE_VARIABLE];
  return Object.keys(env)
    .filter((name) => name.startsWith('PORTCULLIS_') && !known.includes(name))
    .flatMap((name) => {
      const guess = nearest(
        name.slice('PORTCULLIS_'.length),
        known.map((each) => each.slice('PORTCULLIS_'.length)),
      );
      if (guess === undefined || !isNear(name, `PORTCULLIS_${guess}`)) return [];
      return [{ path: name, expected: `no such variable; did you mean PORTCULLIS_${guess}?` }];
    });
}

/** Only typing errors: the lengths are nearly the same. */
const isNear = (name: string, known: string): boolean =>
  known.length > 'PORTCULLIS_'.length + 6 && Math.abs(name.length - known.length) <= 2;

/** @param workingDirectory relative paths are relative to this */
export function environmentDocument(env: Environment, workingDirectory: string): SourceDocument {
  const get = (name: string): string | undefined => valueOf(env, name);
  const tls = { certFile: get('PORTCULLIS_TLS_CERT_FILE'), keyFile: get('PORTCULLIS_TLS_KEY_FILE') };
  const apiUrl = get('PORTCULLIS_API_PUBLIC_URL');
  const keysDirectory = get('PORTCULLIS_KEYS_DIR');
  // Installations that are older than the signed audit log have none.
  const audit = join(keysDirectory ?? '', 'audit');
  const auditDir = existsSync(resolve(workingDirectory, audit)) ? { auditDir: audit } : {};
  const adminGroups = get('PORTCULLIS_ADMIN_GROUPS');
  const publicUrl = get('PORTCULLIS_PUBLIC_URL');
  const root = {
    publicUrl,
    listen: {
      api: { ...tls, publicUrl: apiUrl },
      // http is for a loopback host only, where the page is not behind TLS at all.
      web: publicUrl?.startsWith('http://') === true ? { tls: 'off' } : tls,
    },
    store: storeOf(get('PORTCULLIS_REDIS_URL'), get('PORTCULLIS_REDIS_PASSWORD_FILE')),
    keys:
      keysDirectory === undefined
        ? undefined
        : { signingDir: join(keysDirectory, 'signing'), sealingDir: join(keysDirectory, 'sealing'), ...auditDir },
    providers: [
      {
        name: 'oidc',
        issuer: get('PORTCULLIS_OIDC_ISSUER'),
        clientId: get('PORTCULLIS_OIDC_CLIENT_ID'),
        clientSecretFile: get('PORTCULLIS_OIDC_CLIENT_SECRET_FILE'),
        groups: 'claims.groups',
      },
    ],
    clusters: [
      {
        name: 'default',
        hosts: hostsOf(apiUrl),
        server: get('PORTCULLIS_KUBE_SERVER'),
        caFile: get('PORTCULLIS_KUBE_CA_FILE'),
        tokenFile: get('PORTCULLIS_KUBE_TOKEN_FILE'),
        impersonate: { groups: '*' },
      },
    ],
    admin: { groups: adminGroups?.split(',').map((group) => group.trim()) },
  };
  return {
    // As in a file, a variable that is not set is no setting.
    root: JSON.parse(JSON.stringify(root)) as SourceDocument['root'],
    baseDirectory: workingDirectory,
    locationOf: (path) => ({ path: variableOf(path) ?? pathText(path) }),
  };
}

function storeOf(url: string | undefined, passwordFile: string | undefined): unknown {
  if (url === undefined) return undefined;
  return url === 'memory' ? { memory: {} } : { redis: { url, passwordFile } };
}

/** The one cluster answers at the api listener's own public host. */
function hostsOf(apiUrl: string | undefined): readonly string[] {
  if (apiUrl === undefined || !URL.canParse(apiUrl)) return [];
  const { hostname } = new URL(apiUrl);
  // An IPv6 address is no host name; the cluster is chosen by its prefix then.
  return hostname.startsWith('[') ? [] : [hostname];
}

function variableOf(path: Path): string | undefined {
  const stands = (of: Path): boolean => of.every((step, index) => path[index] === step);
  const all = Object.entries(VARIABLES).flatMap(([name, paths]) => paths.map((of) => ({ name, of })));
  return all.filter(({ of }) => stands(of)).toSorted((a, b) => b.of.length - a.of.length)[0]?.name;
}

function valueOf(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}
