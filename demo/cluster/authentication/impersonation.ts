/**
 * User impersonation as the API server does it, its surprises included: an empty `Impersonate-User` without anything else means
 * no impersonation at all (it "fails open"), so a proxy that forgets the user is detected here as it would be there.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
 */
import type { IncomingMessage } from 'node:http';

import type { Identity } from '../../../src/core/identity/identity.ts';
import type { Authorizer } from '../rbac/authorizer.ts';
import type { Attributes } from '../rbac/rules.ts';
import { ANONYMOUS, AUTHENTICATED, serviceAccountGroups, serviceAccountOf, UNAUTHENTICATED } from './authentication.ts';

const EXTRA = 'impersonate-extra-';

/** What the headers ask for. Each value stands for one line: lines are never joined nor split at commas. */
export interface Requested {
  readonly user: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

/** A group, uid or extra without a user. The API server answers this with 500 and plain text, and so does this one. */
export class ImpersonationError extends Error {
  override readonly name = 'ImpersonationError';
}

/** Header values are bytes; Node shows each as one Latin-1 character. Names are UTF-8. */
const utf8 = (value: string): string => Buffer.from(value, 'latin1').toString('utf8');

function extraKey(header: string): string {
  const escaped = header.slice(EXTRA.length);
  try {
    return decodeURIComponent(escaped);
  } catch {
    return escaped;
  }
}

/** Reads the headers as they came, line by line. */
export function requestedImpersonation(rawHeaders: readonly string[]): Requested {
  let user: string | undefined;
  let uid: string | undefined;
  const groups: string[] = [];
  const extra = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const header = (rawHeaders[index] ?? '').toLowerCase();
    const value = utf8(rawHeaders[index + 1] ?? '');
    // Of a repeated single-valued header the first counts, as with Go's Header.Get.
    if (header === 'impersonate-user') user ??= value;
    else if (header === 'impersonate-uid') uid ??= value;
    else if (header === 'impersonate-group') groups.push(value);
    else if (header.startsWith(EXTRA)) {
      const key = extraKey(header);
      extra.set(key, [...(extra.get(key) ?? []), value]);
    }
  }
  return { user: user ?? '', uid: uid ?? '', groups, extra };
}

const wanted = (
  resource: string,
  name: string,
  more: { group?: string; namespace?: string; subresource?: string } = {},
): Attributes => ({
  verb: 'impersonate',
  resource: { group: '', namespace: '', subresource: '', ...more, resource, name },
});

function* permissions(requested: Requested): Generator<Attributes> {
  const account = serviceAccountOf(requested.user);
  if (account === undefined) yield wanted('users', requested.user);
  else yield wanted('serviceaccounts', account.name, { namespace: account.namespace });
  const group = 'authentication.k8s.io';
  if (requested.uid !== '') yield wanted('uids', requested.uid, { group });
  for (const name of requested.groups) yield wanted('groups', name);
  for (const [subresource, values] of requested.extra) {
    for (const value of values) yield wanted('userextras', value, { group, subresource });
  }
}

/** The groups that the impersonated user ends up with. */
function groupsOf(requested: Requested): string[] {
  const groups = [...requested.groups];
  const account = serviceAccountOf(requested.user);
  if (groups.length === 0 && account !== undefined) groups.push(...serviceAccountGroups(account.namespace));
  const defaultGroup = requested.user === ANONYMOUS ? UNAUTHENTICATED : AUTHENTICATED;
  if (!groups.includes(AUTHENTICATED) && !groups.includes(UNAUTHENTICATED)) groups.push(defaultGroup);
  return groups;
}

/**
 * Returns the user for whom the request is decided.
 * @throws StatusError 403 where RBAC does not let the real user impersonate one of the values
 * @throws ImpersonationError for groups, uid or extra without a user
 */
export function impersonate(request: IncomingMessage, real: Identity, authorizer: Authorizer): Identity {
  const requested = requestedImpersonation(request.rawHeaders);
  if (requested.user === '') {
    if (requested.groups.length > 0 || requested.uid !== '' || requested.extra.size > 0) {
      throw new ImpersonationError('groups, uid or extra were requested without impersonating a user');
    }
    return real;
  }
  for (const attributes of permissions(requested)) authorizer.require(real, attributes);
  return {
    username: requested.user,
    uid: requested.uid,
    groups: groupsOf(requested),
    extra: Object.fromEntries(requested.extra),
  };
}
