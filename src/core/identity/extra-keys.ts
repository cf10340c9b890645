/**
 * Checks keys of Kubernetes' `extra` map.
 *
 * Some keys have a meaning. `authentication.kubernetes.io/…` tells admission to which node or pod a token is
 * bound, and both audit logs find the session by ours under `portcullis.dev/`. A provider's mapping may set neither.
 */
import { EXTRA_DOMAIN } from '../core.ts';

const RESERVED_DOMAINS = [EXTRA_DOMAIN, 'kubernetes.io', 'k8s.io'];

/** Kubernetes lower-cases a key that arrives in a header, so an upper-case one would silently become another key. */
const KEY = /^[a-z0-9]([-._a-z0-9]*[a-z0-9])?(\/[a-z0-9]([-._a-z0-9]*[a-z0-9])?)?$/;
const MAX_KEY_LENGTH = 253;

const isUnder = (key: string, domain: string): boolean => {
  const own = key.split('/', 1)[0] ?? '';
  return own === domain || own.endsWith(`.${domain}`);
};

/** Whether only Portcullis or Kubernetes may set the key. */
export function isReservedExtraKey(key: string): boolean {
  return RESERVED_DOMAINS.some((reserved) => isUnder(key, reserved));
}

/** Whether only Portcullis may set the key. */
export const isOwnExtraKey = (key: string): boolean => isUnder(key, EXTRA_DOMAIN);

/** Checks a key of a mapping. @returns a message for the author of the configuration if the key is invalid */
export function extraKeyProblem(key: string): string | undefined {
  if (!KEY.test(key) || key.length > MAX_KEY_LENGTH) {
    return 'must be a lower-case key such as example.com/department';
  }
  if (isReservedExtraKey(key))
    return `must not be under ${RESERVED_DOMAINS.join(', ')}: those keys have a meaning of their own`;
  return undefined;
}
