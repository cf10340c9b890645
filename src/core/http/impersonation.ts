/**
 * User impersonation (docs/architecture.md#invariant-5): the user that a client wants to act as, from its own
 * `Impersonate-*` headers, and the permissions that this requires.
 *
 * The proxy itself may impersonate any user, so the API server would grant every one of these headers to an
 * attacker. So they are parsed here into an identity and a list of access reviews, or the request is rejected. A
 * header that is not understood is never ignored, because `kubectl --as=limited` must not run with the user's full
 * permissions.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
 */
import { isOwnExtraKey } from '../identity/extra-keys.ts';
import { canonicalName, findImpersonation, pairs, type RawHeaders } from './header-names.ts';
import type { Identity } from '../identity/identity.ts';
import { MAX_EXTRA_VALUE_BYTES, MAX_GROUP_BYTES, MAX_USERNAME_BYTES, textProblem } from '../identity/names.ts';
import { no, ok, type Result } from '../result.ts';

export type ImpersonationRejection =
  | 'impersonation_header_unknown'
  | 'impersonation_without_user'
  | 'impersonation_repeated' // two users or two uids
  | 'impersonation_malformed' // a value or a key that is empty, not UTF-8, or that HTTP would change
  | 'impersonation_reserved_extra';

/** `resourceAttributes` of a SubjectAccessReview; empty strings stand for unset ones. */
export interface ImpersonateAttributes {
  /** `impersonate`, or a verb of constrained impersonation (`constrained-impersonation.ts`). */
  readonly verb: string;
  readonly group: string;
  /** Absent: v1. */
  readonly version?: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** A higher number would let one request of a client cause many times as many at the API server. */
export const MOST_REVIEWS = 32;

const AUTHENTICATION = 'authentication.k8s.io';
const EXTRA_PREFIX = 'impersonate-extra-';
const MAX_KEY_BYTES = 253;

/**
 * @param raw the client's headers: name, value, …; values one character per byte, as UTF-8
 * @returns the user to act as, with an empty uid if the client names none; undefined if the client does not
 * impersonate
 */
export function requestedIdentity(raw: RawHeaders): Result<Identity | undefined, ImpersonationRejection> {
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
      // An underscore in the key is part of it; only in the prefix it stands for a hyphen.
      const key = extraKey(name.slice(EXTRA_PREFIX.length));
      extra.set(key, [...(extra.get(key) ?? []), text]);
    } else return no('impersonation_header_unknown');
  }
  const [username] = users;
  if (username === undefined) return no('impersonation_without_user');
  if (users.length > 1 || uids.length > 1) return no('impersonation_repeated');
  const requested: Identity = { username, uid: uids[0] ?? '', groups, extra: Object.fromEntries(extra) };
  const usable = areUsable([username, ...uids], groups, extra);
  if (!usable) return no('impersonation_malformed');
  // Both audit logs have the session and the real user under these keys.
  if ([...extra.keys()].some(isOwnExtraKey)) return no('impersonation_reserved_extra');
  return ok(requested);
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
    // Kubernetes lower-cases the key in a header, so it would be another key than the reviewed one.
    [...extra.keys()].every((key) => fits(MAX_KEY_BYTES)(key) && key === key.toLowerCase()) &&
    [...extra.values()].flat().every(fits(MAX_EXTRA_VALUE_BYTES))
  );
}

/** Parses the key as the API server does: lower case first, then percent-decoded; unchanged if that is impossible. */
function extraKey(escaped: string): string {
  const lower = escaped.toLowerCase();
  if (/%(?![0-9a-f]{2})/.test(lower)) return fromUtf8(lower);
  return fromUtf8(lower.replaceAll(/%([0-9a-f]{2})/g, (_all, hex: string) => String.fromCharCode(parseInt(hex, 16))));
}

/** Bytes that are not UTF-8 become U+FFFD, which no name may contain. */
const fromUtf8 = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

type Impersonated = 'users' | 'serviceaccounts' | 'groups' | 'uids' | 'userextras';

const review = (resource: Impersonated, name: string): ImpersonateAttributes => ({
  verb: 'impersonate',
  group: resource === 'uids' || resource === 'userextras' ? AUTHENTICATION : '',
  resource,
  subresource: '',
  namespace: '',
  name,
});

/**
 * Returns the permissions that the user needs, in the order in which the API server checks them: user, uid,
 * groups, extra. All are required.
 */
export function impersonateAttributes(requested: Identity): readonly ImpersonateAttributes[] {
  const account = serviceAccountOf(requested.username);
  return [
    account === undefined
      ? review('users', requested.username)
      : { ...review('serviceaccounts', account.name), namespace: account.namespace },
    ...(requested.uid === '' ? [] : [review('uids', requested.uid)]),
    ...requested.groups.map((group) => review('groups', group)),
    ...Object.entries(requested.extra).flatMap(([key, values]) =>
      values.map((value) => ({ ...review('userextras', value), subresource: key })),
    ),
  ];
}

/** RFC 1123 label and subdomain, as Kubernetes' names are. */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/**
 * Returns namespace and name of `system:serviceaccount:NAMESPACE:NAME`, by exactly the rule of the API server: a
 * name that it takes for an ordinary user must be reviewed as one.
 */
export function serviceAccountOf(username: string): { readonly namespace: string; readonly name: string } | undefined {
  const [system, kind, namespace = '', name = '', ...rest] = username.split(':');
  if (system !== 'system' || kind !== 'serviceaccount' || rest.length > 0) return undefined;
  return LABEL.test(namespace) && SUBDOMAIN.test(name) && name.length <= 253 ? { namespace, name } : undefined;
}

/**
 * Returns what a cluster's `impersonate` setting allows to no user. Rejected and not removed: a user who asks for
 * a group must not act without it.
 * @returns the first group or extra key beyond the limits
 */
export function beyondLimits(
  requested: Identity,
  impersonate: { readonly groups: '*' | readonly string[]; readonly extra: readonly string[] },
): { readonly kind: 'group' | 'extra'; readonly name: string } | undefined {
  const { groups, extra } = impersonate;
  const group = groups === '*' ? undefined : requested.groups.find((each) => !groups.includes(each));
  if (group !== undefined) return { kind: 'group', name: group };
  const key = Object.keys(requested.extra).find((each) => !extra.includes(each));
  return key === undefined ? undefined : { kind: 'extra', name: key };
}

/**
 * Returns the API server's own message for a user who may not impersonate, or may not do anything else.
 * @param username of the user who asked
 */
export function rbacDenial(
  username: string,
  attributes: ImpersonateAttributes | { readonly verb: string; readonly path: string },
): string {
  if ('path' in attributes) {
    return `forbidden: User ${quoted(username)} cannot ${attributes.verb} path ${quoted(attributes.path)}`;
  }
  const { verb, group, resource, subresource, namespace, name } = attributes;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const named = name === '' ? qualified : `${qualified} ${quoted(name)}`;
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${quoted(namespace)}`;
  return `${named} is forbidden: User ${quoted(username)} cannot ${verb} resource ${quoted(full)} in API group ${quoted(group)} ${where}`;
}

const quoted = (text: string): string => JSON.stringify(text);
