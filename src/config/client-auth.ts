/**
 * `providers[].clientAuth`: how we authenticate at the provider. Which files a method needs, which it has no use
 * for, and whether they contain what it needs.
 */
import { readFile } from 'node:fs/promises';
import { assertTlsPair, certifiedSigningKey, clientSigningKey, EXPECTED_KEY, EXPECTED_PAIR } from './client-key.ts';
import { isMapping, items, textAt, type ValidationErrors, type Path } from './document.ts';

export const CLIENT_AUTH_METHODS = ['basic', 'post', 'private_key_jwt', 'tls_client_auth', 'none'] as const;

export type ClientAuthMethod = (typeof CLIENT_AUTH_METHODS)[number];

type FileSetting = 'clientSecretFile' | 'clientKeyFile' | 'clientCertFile';

const FILES: readonly FileSetting[] = ['clientSecretFile', 'clientKeyFile', 'clientCertFile'];

interface Files {
  readonly needs: readonly FileSetting[];
  readonly may: readonly FileSetting[];
}

/** Where no method is configured: a secret, or a public client. */
const DEFAULT_FILES: Files = { needs: [], may: ['clientSecretFile'] };

const METHODS: Record<ClientAuthMethod, Files> = {
  basic: { needs: ['clientSecretFile'], may: [] },
  post: { needs: ['clientSecretFile'], may: [] },
  // The certificate is for providers that find a key by it.
  private_key_jwt: { needs: ['clientKeyFile'], may: ['clientCertFile'] },
  tls_client_auth: { needs: ['clientKeyFile', 'clientCertFile'], may: [] },
  none: { needs: [], may: [] },
};

/** Reads the document itself, so that an error elsewhere in a provider hides none of these. */
export function checkClientAuth(provider: unknown, base: Path, errors: ValidationErrors): void {
  if (!isMapping(provider)) return;
  const method = methodOf(provider);
  if (provider['type'] === 'github' && provider['clientAuth'] !== undefined && method !== 'post') {
    errors.add([...base, 'clientAuth'], 'post, or nothing: GitHub accepts the client secret in the form only');
    return;
  }
  // The schema reports an unknown method.
  if (provider['clientAuth'] !== undefined && method === undefined) return;
  const { needs, may } = method === undefined ? DEFAULT_FILES : METHODS[method];
  for (const key of FILES) {
    const isSet = provider[key] !== undefined;
    if (needs.includes(key) && !isSet) errors.add([...base, key], `a value, because clientAuth is ${method}`);
    // A secret beside a key is one that is never used, renewed or missed. An attacker who finds it can still
    // authenticate as our client, so it is not allowed.
    if (isSet && !needs.includes(key) && !may.includes(key)) errors.add([...base, key], withoutUse(key, method));
  }
  if (method === 'tls_client_auth' && textAt(provider, 'issuer')?.startsWith('http:') === true) {
    errors.add([...base, 'issuer'], 'an https URL, because clientAuth is tls_client_auth: a certificate needs TLS');
  }
}

const withoutUse = (key: FileSetting, method: ClientAuthMethod | undefined): string =>
  method === undefined
    ? `nothing, or clientAuth as well: ${methodsWith(key).join(' and ')} have a use for it`
    : `nothing, because clientAuth is ${method}, which has no use for it`;

const methodsWith = (key: FileSetting): readonly ClientAuthMethod[] =>
  CLIENT_AUTH_METHODS.filter((method) => METHODS[method].needs.includes(key) || METHODS[method].may.includes(key));

const methodOf = (provider: unknown): ClientAuthMethod | undefined =>
  CLIENT_AUTH_METHODS.find((method) => method === textAt(provider, 'clientAuth'));

/**
 * Checks the content of the key files: a key of the wrong kind would be found at the first sign-in only.
 * @param locate makes a path absolute
 */
export async function checkClientKeys(
  root: unknown,
  locate: (file: string) => string,
  errors: ValidationErrors,
): Promise<void> {
  for (const [index, provider] of items(root, 'providers').entries()) {
    const method = methodOf(provider);
    const read = async (key: FileSetting): Promise<string | undefined> => {
      const file = textAt(provider, key);
      // A file that cannot be read is reported elsewhere.
      return file === undefined ? undefined : readFile(locate(file), 'utf8').catch(() => undefined);
    };
    const [key, cert] = await Promise.all([read('clientKeyFile'), read('clientCertFile')]);
    if (key === undefined) continue;
    const base: Path = ['providers', index];
    if (method === 'private_key_jwt' && isRejected(() => clientSigningKey(key))) {
      errors.add([...base, 'clientKeyFile'], EXPECTED_KEY);
    } else if (cert !== undefined && isRejected(() => PAIRS[method ?? '']?.({ cert, key }))) {
      errors.add([...base, 'clientCertFile'], EXPECTED_PAIR);
    }
  }
}

const PAIRS: Readonly<Record<string, (pair: { readonly cert: string; readonly key: string }) => unknown>> = {
  private_key_jwt: certifiedSigningKey,
  tls_client_auth: assertTlsPair,
};

function isRejected(take: () => unknown): boolean {
  try {
    take();
    return false;
  } catch {
    return true;
  }
}
