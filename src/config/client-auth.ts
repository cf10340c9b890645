/**
 * `providers[].clientAuth`: how the provider knows that it is us. Which files a method needs, which it has no use for, and whether they
 * hold what it takes.
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

/** Where nothing is chosen: a secret, or a public client. */
const UNCHOSEN: Files = { needs: [], may: ['clientSecretFile'] };

const METHODS: Record<ClientAuthMethod, Files> = {
  basic: { needs: ['clientSecretFile'], may: [] },
  post: { needs: ['clientSecretFile'], may: [] },
  // The certificate is for providers that know a key by it.
  private_key_jwt: { needs: ['clientKeyFile'], may: ['clientCertFile'] },
  tls_client_auth: { needs: ['clientKeyFile', 'clientCertFile'], may: [] },
  none: { needs: [], may: [] },
};

/** Reads the document itself, so that a fault elsewhere in a provider hides none of these. */
export function checkClientAuth(provider: unknown, base: Path, errors: ValidationErrors): void {
  if (!isMapping(provider)) return;
  const method = methodOf(provider);
  if (provider['type'] === 'github' && provider['clientAuth'] !== undefined && method !== 'post') {
    errors.add(
      [...base, 'clientAuth'],
      'post, or nothing: GitHub takes the client secret in the form and knows no other way',
    );
    return;
  }
  // What is no method at all is the schema's to report.
  if (provider['clientAuth'] !== undefined && method === undefined) return;
  const { needs, may } = method === undefined ? UNCHOSEN : METHODS[method];
  for (const key of FILES) {
    const isSet = provider[key] !== undefined;
    if (needs.includes(key) && !isSet) errors.add([...base, key], `a value, because clientAuth is ${method}`);
    // Threat: a secret beside a key would be one that nobody uses, renews or misses, and that still opens the client where it leaks.
    if (isSet && !needs.includes(key) && !may.includes(key)) errors.add([...base, key], withoutUse(key, method));
  }
  if (method === 'tls_client_auth' && textAt(provider, 'issuer')?.startsWith('http:') === true) {
    errors.add(
      [...base, 'issuer'],
      'an https URL, because clientAuth is tls_client_auth: a certificate is shown in TLS alone',
    );
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
 * Looks into the key files: a key of the wrong kind would be found out at the first sign-in only.
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
      // One that cannot be read is reported as such.
      return file === undefined ? undefined : readFile(locate(file), 'utf8').catch(() => undefined);
    };
    const [key, cert] = await Promise.all([read('clientKeyFile'), read('clientCertFile')]);
    if (key === undefined) continue;
    const base: Path = ['providers', index];
    if (method === 'private_key_jwt' && isRefused(() => clientSigningKey(key))) {
      errors.add([...base, 'clientKeyFile'], EXPECTED_KEY);
    } else if (cert !== undefined && isRefused(() => PAIRS[method ?? '']?.({ cert, key }))) {
      errors.add([...base, 'clientCertFile'], EXPECTED_PAIR);
    }
  }
}

const PAIRS: Readonly<Record<string, (pair: { readonly cert: string; readonly key: string }) => unknown>> = {
  private_key_jwt: certifiedSigningKey,
  tls_client_auth: assertTlsPair,
};

function isRefused(take: () => unknown): boolean {
  try {
    take();
    return false;
  } catch {
    return true;
  }
}
