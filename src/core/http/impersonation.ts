/**
 * User impersonation (docs/architecture.md#invariant-5): whom a client wants to act as, from its own `Impersonate-*`
 * headers, and what the person must be allowed for that.
 *
 * Threat: the gate itself may impersonate anybody, so at the API server every one of these headers would be granted. They are read here into
 * an identity and a list of questions, or the request is refused; a header that is not understood is never passed over in silence, because
 * `kubectl --as=limited` must not run with the person's full rights.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
 */
import { isOwnExtraKey } from '../identity/extra-keys.ts';
import { canonicalName, pairs, type RawHeaders } from './header-names.ts';
import type { Identity } from '../identity/identity.ts';
import { MAX_EXTRA_VALUE_BYTES, MAX_GROUP_BYTES, MAX_USERNAME_BYTES, textProblem } from '../identity/names.ts';
import { no, ok, type Result } from '../result.ts';
import { findImpersonation } from './upstream-headers.ts';

export type ImpersonationRejection =
  | 'impersonation_header_unknown'
  | 'impersonation_without_user'
  | 'impersonation_repeated' // two users or two uids
  | 'impersonation_malformed' // a value or a key that is empty, no UTF-8, or that HTTP would change on its way
  | 'impersonation_reserved_extra';

/** `resourceAttributes` of a SubjectAccessReview; empty strings stand for what is not set. The verb is always `impersonate`. */
export interface ImpersonateAttributes {
  readonly group: string;
  readonly resource: 'users' | 'serviceaccounts' | 'groups' | 'uids' | 'userextras';
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** More would let one request of a client be many times as many at the API server. */
export const MOST_REVIEWS = 32;

const AUTHENTICATION = 'authentication.k8s.io';
const EXTRA_PREFIX = 'impersonate-extra-';
const MAX_KEY_BYTES = 253;

/**
 * @param raw the client's headers: name, value, …; values one character a byte, as UTF-8
 * @returns whom it wants to act as, with an empty uid where it names none; undefined where it wants nothing of the kind
 */
export function wantedIdentity(raw: RawHeaders): Result<Identity | undefined, ImpersonationRejection> {
  const users: string[] = [];
  const uids: string[] = [];
  const groups: string[] = [];
  const extra = new Map<string, string[]>();
  if (findImpersonation(raw).length === 0) return ok(undefined);
  for (const [name, value] of pairs(raw)) {
    const canonical = canonicalName(name);
    if (!canonical.startsWith('impersonate')) continue;
    const text = fromUtf8(value);
    if (canonical === 'impersonate-user') users.push(text);
    else if (canonical === 'impersonate-uid') uids.push(text);
    else if (canonical === 'impersonate-group') groups.push(text);
    else if (canonical.startsWith(EXTRA_PREFIX)) {
      // An underscore of the key is its own; only in the prefix it stands for a hyphen.
      const key = extraKey(name.slice(EXTRA_PREFIX.length));
      extra.set(key, [...(extra.get(key) ?? []), text]);
    } else return no('impersonation_header_unknown');
  }
  const [username] = users;
  if (username === undefined) return no('impersonation_without_user');
  if (users.length > 1 || uids.length > 1) return no('impersonation_repeated');
  const wanted: Identity = { username, uid: uids[0] ?? '', groups, extra: Object.fromEntries(extra) };
  const usable = areUsable([username, ...uids], groups, extra);
  if (!usable) return no('impersonation_malformed');
  // Both audit logs find the session and the real person under these keys.
  if ([...extra.keys()].some(isOwnExtraKey)) return no('impersonation_reserved_extra');
  return ok(wanted);
}

function areUsable(
  names: readonly string[],
  groups: readonly string[],
  extra: ReadonlyMap<string, readonly string[]>,
): boolean {
  const fits = (maxBytes: number) => (text: string) => textProblem(text, maxBytes) === undefined;
  return (
    names.every(fits(MAX_USERNAME_BYTES)) &&
    groups.every(fits(MAX_GROUP_BYTES)) &&
    // Kubernetes lower-cases what arrives in a header: another key than the one that was asked about.
    [...extra.keys()].every((key) => fits(MAX_KEY_BYTES)(key) && key === key.toLowerCase()) &&
    [...extra.values()].flat().every(fits(MAX_EXTRA_VALUE_BYTES))
  );
}

/** As the API server reads it: lower case first, then percent-decoded; where that cannot be done, as it stands. */
function extraKey(escaped: string): string {
  const lower = escaped.toLowerCase();
  if (/%(?![0-9a-f]{2})/.test(lower)) return fromUtf8(lower);
  return fromUtf8(lower.replaceAll(/%([0-9a-f]{2})/g, (_all, hex: string) => String.fromCharCode(parseInt(hex, 16))));
}

/** Bytes that are no UTF-8 become U+FFFD, which no name may have. */
const fromUtf8 = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

const asked = (resource: ImpersonateAttributes['resource'], name: string): ImpersonateAttributes => ({
  group: resource === 'uids' || resource === 'userextras' ? AUTHENTICATION : '',
  resource,
  subresource: '',
  namespace: '',
  name,
});

/** What the person must be allowed, in the order in which the API server asks: user, uid, groups, extra. All of it, or nothing. */
export function impersonateAttributes(wanted: Identity): readonly ImpersonateAttributes[] {
  const account = serviceAccountOf(wanted.username);
  return [
    account === undefined
      ? asked('users', wanted.username)
      : { ...asked('serviceaccounts', account.name), namespace: account.namespace },
    ...(wanted.uid === '' ? [] : [asked('uids', wanted.uid)]),
    ...wanted.groups.map((group) => asked('groups', group)),
    ...Object.entries(wanted.extra).flatMap(([key, values]) =>
      values.map((value) => ({ ...asked('userextras', value), subresource: key })),
    ),
  ];
}

/** RFC 1123 label and subdomain, as Kubernetes' names are. */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/**
 * Namespace and name of `system:serviceaccount:NAMESPACE:NAME`, by exactly the rule of the API server: what it takes for an ordinary user
 * must be asked about as one.
 */
export function serviceAccountOf(username: string): { readonly namespace: string; readonly name: string } | undefined {
  const [system, kind, namespace = '', name = '', ...rest] = username.split(':');
  if (system !== 'system' || kind !== 'serviceaccount' || rest.length > 0) return undefined;
  return LABEL.test(namespace) && SUBDOMAIN.test(name) && name.length <= 253 ? { namespace, name } : undefined;
}

/**
 * What a cluster's `impersonate` setting does not allow to anybody. Refused and not trimmed: whoever asks for a group must not act without it.
 * @returns the first group or extra key that is beyond it
 */
export function beyondLimits(
  wanted: Identity,
  impersonate: { readonly groups: '*' | readonly string[]; readonly extra: readonly string[] },
): { readonly kind: 'group' | 'extra'; readonly name: string } | undefined {
  const { groups, extra } = impersonate;
  const group = groups === '*' ? undefined : wanted.groups.find((each) => !groups.includes(each));
  if (group !== undefined) return { kind: 'group', name: group };
  const key = Object.keys(wanted.extra).find((each) => !extra.includes(each));
  return key === undefined ? undefined : { kind: 'extra', name: key };
}

/**
 * The API server's own words where somebody may not impersonate.
 * @param username of the person who asked
 */
export function impersonateDenial(username: string, attributes: ImpersonateAttributes): string {
  const { group, resource, subresource, namespace, name } = attributes;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${quoted(namespace)}`;
  return `${qualified} ${quoted(name)} is forbidden: User ${quoted(username)} cannot impersonate resource ${quoted(full)} in API group ${quoted(group)} ${where}`;
}

const quoted = (text: string): string => JSON.stringify(text);
