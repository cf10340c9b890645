/**
 * User impersonation as the API server does it, its surprises included: an empty `Impersonate-User` without anything else means
 * no impersonation at all (it "fails open"), so a proxy that forgets the user is detected here as it would be there.
 * With constrained impersonation (KEP-5284) the mode of the requested user comes first, and then the legacy verb.
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

const AUTHENTICATION = 'authentication.k8s.io';

const wanted = (
  verb: string,
  resource: string,
  name: string,
  more: { group: string; namespace?: string; subresource?: string },
): Attributes => ({
  verb,
  resource: { namespace: '', subresource: '', ...more, resource, name },
});

/** @param verb `impersonate`, or `impersonate:MODE`, for which users and groups are in another API group */
function* permissions(requested: Requested, verb: string): Generator<Attributes> {
  const legacy = verb === 'impersonate';
  const core = legacy ? '' : AUTHENTICATION;
  const account = serviceAccountOf(requested.user);
  const node = legacy ? undefined : nodeOf(requested.user);
  if (account !== undefined) {
    yield wanted(verb, 'serviceaccounts', account.name, { group: core, namespace: account.namespace });
  } else yield wanted(verb, node === undefined ? 'users' : 'nodes', node ?? requested.user, { group: core });
  if (requested.uid !== '') yield wanted(verb, 'uids', requested.uid, { group: AUTHENTICATION });
  for (const name of requested.groups) yield wanted(verb, 'groups', name, { group: core });
  for (const [subresource, values] of requested.extra) {
    for (const value of values) yield wanted(verb, 'userextras', value, { group: AUTHENTICATION, subresource });
  }
}

const nodeOf = (username: string): string | undefined => /^system:node:([a-z0-9][-.a-z0-9]*)$/.exec(username)?.[1];

/** Which constrained mode can express the user, if any: nodes and service accounts have nothing but their name. */
function modeOf({ user, uid, groups, extra }: Requested): string | undefined {
  const bare = uid === '' && groups.length === 0 && extra.size === 0;
  if (nodeOf(user) !== undefined) return bare ? 'arbitrary-node' : undefined;
  if (serviceAccountOf(user) !== undefined) return bare ? 'serviceaccount' : undefined;
  const keys = [...extra.keys()];
  return groups.includes('system:masters') || keys.some((key) => !key.includes('/')) ? undefined : 'user-info';
}

/** @returns the first right that is missing for the mode; undefined if there is none */
function missing(
  requested: Requested,
  mode: string,
  { real, authorizer, on }: Impersonating & { readonly on: Attributes },
): Attributes | undefined {
  const onVerb = { ...on, verb: `impersonate-on:${mode}:${on.verb}` };
  return [onVerb, ...permissions(requested, `impersonate:${mode}`)].find(
    (attributes) => !authorizer.decide(real, attributes).allowed,
  );
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

export interface Impersonating {
  readonly real: Identity;
  readonly authorizer: Authorizer;
  /** What the request is about, for a cluster that knows constrained impersonation. */
  readonly on?: Attributes | undefined;
}

/** @throws StatusError 403 for the first right that is missing, as the API server names it */
function authorize(requested: Requested, { real, authorizer, on }: Impersonating): { readonly node: boolean } {
  const mode = on === undefined ? undefined : modeOf(requested);
  const denied =
    on === undefined || mode === undefined ? undefined : missing(requested, mode, { real, authorizer, on });
  if (mode !== undefined && denied === undefined) return { node: mode === 'arbitrary-node' };
  const legacy = [...permissions(requested, 'impersonate')].find((each) => !authorizer.decide(real, each).allowed);
  if (legacy !== undefined) authorizer.require(real, denied ?? legacy);
  return { node: false };
}

/**
 * Returns the user for whom the request is decided.
 * @throws StatusError 403 where RBAC does not let the real user impersonate one of the values
 * @throws ImpersonationError for groups, uid or extra without a user
 */
export function impersonate(request: IncomingMessage, impersonating: Impersonating): Identity {
  const requested = requestedImpersonation(request.rawHeaders);
  if (requested.user === '') {
    if (requested.groups.length > 0 || requested.uid !== '' || requested.extra.size > 0) {
      throw new ImpersonationError('groups, uid or extra were requested without impersonating a user');
    }
    return impersonating.real;
  }
  const { node } = authorize(requested, impersonating);
  return {
    username: requested.user,
    uid: requested.uid,
    groups: node ? ['system:nodes', AUTHENTICATED] : groupsOf(requested),
    extra: Object.fromEntries(requested.extra),
  };
}
