/** Rotates keys in Secrets where they are, so that no private key passes through a user's hands. */
import type { KeyKind } from '../config/key-files.ts';
import { isKeyFileName } from '../config/key-files.ts';
import { rotate, type KeyRotation, type RotationTimes } from '../config/rotate-keys.ts';
import type { ClusterApi } from './cluster-api.ts';

/** Others write too: the chart at an upgrade, an operator. So many conflicts in a row are an error. */
const ATTEMPTS = 5;

export interface SecretsName {
  readonly namespace: string;
  /** The prefix of the three names. */
  readonly name: string;
}

interface Secret {
  readonly metadata: object;
  readonly data?: Readonly<Record<string, string>>;
}

type Rotated = Omit<KeyRotation, 'files'> & { readonly secret: string };

/** @returns the parts of `NAMESPACE/NAME`; undefined for any other text, so that no other path can be requested */
export function parseSecretsName(text: string): SecretsName | undefined {
  const [, namespace, name] =
    /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\/([a-z0-9](?:[-a-z0-9.]{0,200}[a-z0-9])?)$/.exec(text) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/**
 * Rotates `NAME-signing-keys`, `NAME-sealing-keys` and `NAME-audit-keys`, each created where there is none.
 * @throws Error that names the missing right, or the Secret that cannot be used; never its contents
 */
export async function rotateSecrets(
  api: ClusterApi,
  where: SecretsName,
  times: RotationTimes,
): Promise<readonly Rotated[]> {
  const rotated: Rotated[] = [];
  for (const kind of ['signing', 'sealing', 'audit'] as const)
    rotated.push(await rotateSecret(api, where, kind, times));
  return rotated;
}

async function rotateSecret(
  api: ClusterApi,
  { namespace, name }: SecretsName,
  kind: KeyKind,
  times: RotationTimes,
): Promise<Rotated> {
  const secret = `${name}-${kind}-keys`;
  const collection = `/api/v1/namespaces/${namespace}/secrets`;
  for (let left = ATTEMPTS; left > 0; left -= 1) {
    const found = await api.request('GET', `${collection}/${secret}`);
    if (found.status !== 200 && found.status !== 404)
      throw requestFailure('get', `${namespace}/${secret}`, found.status);
    const before = found.status === 200 ? (found.body as Secret) : undefined;
    const { files, ...done } = await rotate(kind, filesOf(before), times).catch((error: unknown) => {
      throw new Error(
        `the Secret ${namespace}/${secret} cannot be used: ${error instanceof Error ? error.message : ''}`,
      );
    });
    const written =
      before === undefined
        ? await api.request('POST', collection, fresh(namespace, secret, files))
        : // With the version that was read: a concurrent change is not undone, and is read again.
          await api.request('PUT', `${collection}/${secret}`, {
            ...before,
            data: { ...rest(before), ...encoded(files) },
          });
    if (written.status === 200 || written.status === 201) return { ...done, secret: `${namespace}/${secret}` };
    if (written.status !== 409) {
      throw requestFailure(before === undefined ? 'create' : 'update', `${namespace}/${secret}`, written.status);
    }
  }
  throw new Error(`the Secret ${namespace}/${secret} was changed by another client each time; run the command again`);
}

const fresh = (namespace: string, name: string, files: ReadonlyMap<string, string>): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace, name },
  type: 'Opaque',
  data: encoded(files),
});

const filesOf = (secret: Secret | undefined): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(secret?.data ?? {})
      .filter(([name]) => isKeyFileName(name))
      .map(([name, value]) => [name, Buffer.from(value, 'base64').toString('utf8')]),
  );

/** Everything in the Secret except keys stays. */
const rest = ({ data = {} }: Secret): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(data).filter(([name]) => !isKeyFileName(name)));

const encoded = (files: ReadonlyMap<string, string>): Readonly<Record<string, string>> =>
  Object.fromEntries([...files].map(([name, text]) => [name, Buffer.from(text).toString('base64')]));

function requestFailure(verb: string, secret: string, status: number): Error {
  const hint = status === 401 || status === 403 ? `: the service account may not ${verb} it` : '';
  return new Error(`${verb} of the Secret ${secret} returned ${status}${hint}`);
}
