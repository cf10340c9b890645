/**
 * What the type of an identity provider allows and requires (`core/identity/provider-types.ts` has what is known of
 * each), for checks of its settings together.
 */
import { PROVIDER_TYPES, PROVIDERS, type ProviderType } from '../core/identity/provider-types.ts';
import { checkGithub } from './github.ts';
import { isMapping, items, valueAt, type ValidationErrors, type Path } from './document.ts';

/** Settings in a pair: one without the other has no effect. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['serviceAccountFile', 'impersonatedAdmin'],
  ['impersonatedAdmin', 'serviceAccountFile'],
];

export const FRESHNESS_SETTINGS = ['auto', 'login', 'max_age', 'none'] as const;

/** @param freshness as set; a type that proves nothing does so whatever is set */
export const provesFreshness = (type: ProviderType, freshness?: string): boolean =>
  PROVIDERS[type].provesFreshness && freshness !== 'none';

/** Reads the document itself, so that an error elsewhere in a provider hides none of these. */
export function checkProviderType(provider: unknown, base: Path, errors: ValidationErrors): void {
  if (!isMapping(provider)) return;
  const named = provider['type'] ?? 'oidc';
  const type = PROVIDER_TYPES.find((known) => known === named);
  if (type === undefined) return;
  const facts = PROVIDERS[type];
  const issuer = valueAt(provider, ['issuer']);
  if (facts.issuer === undefined && issuer === undefined) {
    errors.add([...base, 'issuer'], 'the issuer’s https URL, exactly as its discovery document says it');
  }
  // An attacker who may choose the issuer under a vendor's name would make that vendor's checks worthless, so the
  // issuer is fixed.
  if (facts.issuer !== undefined && issuer !== undefined) {
    errors.add([...base, 'issuer'], `nothing: type ${type} has its own`);
  }
  if (facts.issuer !== undefined && items(provider, 'hosts').length > 0) {
    errors.add([...base, 'hosts'], `nothing: the hosts of type ${type} are fixed`);
  }
  for (const key of facts.needed) {
    if (provider[key] === undefined) errors.add([...base, key], `a value, because type is ${type}`);
  }
  for (const other of PROVIDER_TYPES) {
    const foreign = PROVIDERS[other].own.filter((key) => !facts.own.includes(key) && provider[key] !== undefined);
    for (const key of foreign) errors.add([...base, key], `nothing: it is for type ${other}, and this one is ${type}`);
  }
  if (!facts.sendsLogoutTokens && (provider['backchannelLogout'] ?? 'off') !== 'off') {
    errors.add([...base, 'backchannelLogout'], `off, because type ${type} does not say when a user signs out there`);
  }
  if (!facts.provesFreshness && (provider['freshness'] ?? 'none') !== 'none') {
    errors.add([...base, 'freshness'], `none, or nothing: type ${type} does not say when a user signed in`);
  }
  if (type === 'github') checkGithub(provider, base, errors);
  for (const [key, partner] of PAIRS) {
    if (provider[key] !== undefined && provider[partner] === undefined && facts.own.includes(partner)) {
      errors.add([...base, partner], `a value, because ${key} is set`);
    }
  }
}
