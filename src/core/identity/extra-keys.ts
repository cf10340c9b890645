/**
 * Keys of Kubernetes' `extra` map.
 *
 * Threat: some keys mean something to others. `authentication.kubernetes.io/…` tells admission which node or pod a token is bound
 * to, and ours under `portcullis.dev/` is how both audit logs find the session. A provider's mapping may set neither.
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

/** True for a key under a domain that only this gate or Kubernetes may set. */
export function isReservedExtraKey(key: string): boolean {
  return RESERVED_DOMAINS.some((reserved) => isUnder(key, reserved));
}

/** True for a key that only this gate may set. */
export const isOwnExtraKey = (key: string): boolean => isUnder(key, EXTRA_DOMAIN);

/** @returns what is wrong with a key that a mapping wants to set, in words for the configuration's author */
export function extraKeyProblem(key: string): string | undefined {
  if (!KEY.test(key) || key.length > MAX_KEY_LENGTH) {
    return 'must be a lower-case key such as example.com/department';
  }
  if (isReservedExtraKey(key))
    return `must not be under ${RESERVED_DOMAINS.join(', ')}: those keys have a meaning of their own`;
  return undefined;
}
