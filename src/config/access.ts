/** Roles that users may ask for (`access`): the settings, and checks of several of them together. */
import * as z from 'zod';
import { compileReason } from '../core/access/reason-pattern.ts';
import { forbiddenCharacter } from '../core/identity/names.ts';
import { checkNotify, receiver } from './access-notify.ts';
import { items, textAt, texts, valueAt, type Path, type ValidationErrors } from './document.ts';
import { checkProvableGroups } from './freshness.ts';
import { list, section } from './section.ts';
import { duration, integer, label, text } from './values.ts';

const groups = (what: string) => list(text('a group’s name'), `group names; empty: ${what}`);

const APPROVAL = 'none (break-glass: at once, without approval), or a mapping with groups and count';

const roleShape = {
  name: label.meta({ text: 'What users type, and what audit events, metrics and notices name.' }),
  description: text('what the role is for, in a sentence')
    .max(200, { error: 'at most 200 characters' })
    .meta({ text: 'What it is for, in a sentence: users and approvers read it.' }),
  groups: groups('nothing').min(1, { error: 'at least one group' }).max(10, { error: 'at most ten groups' }).meta({
    text: "Added to the user's own, as the API server sees them, while the grant lasts. RoleBindings give them rights.",
  }),
  clusters: list(label, 'names of clusters; empty: none')
    .exactOptional()
    .meta({ text: 'The clusters where they are added (default: all). An empty list: none.', default: 'all clusters' }),
  requesters: groups('no user may ask for it').meta({
    text: 'The groups whose members may ask for it. An empty list: no user may.',
  }),
  // No default: an approval that was forgotten must not become a role without one.
  approval: z
    .union(
      [
        z.literal('none'),
        section({
          groups: groups('no user may approve, so no one gets the role').meta({
            text: 'Groups whose members may approve, and may end a grant. Never the requester, at no provider. An empty list: no user may, so no one gets the role.',
          }),
          count: integer(1, 5).default(1).meta({ text: 'How many different users must approve.' }),
        }),
      ],
      { error: APPROVAL },
    )
    .meta({ text: 'Who must approve: `none` is break-glass. There is no default.' }),
  longest: duration('1m', '24h').meta({ text: 'How long a grant may last.' }),
  reason: text('a regular expression (RE2) that the whole reason must match').exactOptional().meta({
    text: 'A regular expression (RE2) that the whole reason must match (default: any reason, or none).',
    default: 'any reason, or none',
  }),
  freshness: duration('1m', '24h').exactOptional().meta({
    text: 'How long ago the requester must have proven themselves at the provider at most (default: at any time).',
    default: 'at any time',
  }),
} as const;

export const access = section({
  roles: list(section(roleShape), 'roles, each with name, description, groups, requesters, approval and longest')
    .default([])
    .meta({
      text: 'What users may ask for ([access requests](../access-requests.md)). A role that is changed must be asked for again; the grants of one that is removed end.',
    }),
  freshness: z
    .union([z.literal('off'), duration('1m', '24h')], { error: 'a duration from 1m to 24h, or off' })
    .prefault('15m')
    .meta({ text: 'How long ago approvers must have proven themselves at the provider at most, or off.' }),
  notify: list(receiver, 'receivers, each with name, and url or urlFile').default([]).meta({
    text: 'Webhooks that are told of requests, approvals, grants and their ends ([notices](../access-requests.md#notices)). Nothing waits for one.',
  }),
}).prefault({});

/** Reads the document itself, so that an error elsewhere in the section hides none of these. */
export function checkAccess(root: unknown, errors: ValidationErrors): void {
  checkNotify(root, errors);
  const roles = items(valueAt(root, ['access']), 'roles');
  const names = roles.map((role) => textAt(role, 'name'));
  roles.forEach((role, index) => {
    const place = ['access', 'roles', index] as const;
    const name = names[index];
    if (name !== undefined && names.indexOf(name) < index) {
      errors.add([...place, 'name'], `a name of its own: access.roles[${names.indexOf(name)}] has this one`);
    }
    checkClusters(root, { role, place }, errors);
    checkGroupNames(role, place, errors);
    checkReason(role, place, errors);
    checkRoleFreshness(root, { role, place }, errors);
  });
}

interface PlacedRole {
  readonly role: unknown;
  readonly place: Path;
}

function checkClusters(root: unknown, { role, place }: PlacedRole, errors: ValidationErrors): void {
  const clusters = items(root, 'clusters');
  const known = clusters.map((cluster) => textAt(cluster, 'name'));
  const given = valueAt(role, ['clusters']);
  const named = texts(given);
  checkDistinct(named, [...place, 'clusters'], errors);
  named.forEach((name, at) => {
    if (!known.includes(name)) errors.add([...place, 'clusters', at], 'the name of one of the clusters');
  });
  const own = clusters.filter((cluster) => given === undefined || named.includes(textAt(cluster, 'name') ?? ''));
  texts(valueAt(role, ['groups'])).forEach((group, at) => {
    // Where no cluster is named rightly, that is the error.
    if (own.length === 0 || own.some((cluster) => mayImpersonate(cluster, group))) return;
    errors.add(
      [...place, 'groups', at],
      'a group that Portcullis may impersonate in one of the role’s clusters (clusters[].impersonate.groups)',
    );
  });
}

const mayImpersonate = (cluster: unknown, group: string): boolean => {
  const groups = valueAt(cluster, ['impersonate', 'groups']);
  return groups === '*' || texts(groups).includes(group);
};

/**
 * `system:masters` is no group that RBAC could take anything away from, and an API server adds the others of
 * `system:` itself. A group of that prefix is never one that a user has for a while.
 */
function checkGroupNames(role: unknown, place: Path, errors: ValidationErrors): void {
  for (const path of [['groups'], ['requesters'], ['approval', 'groups']]) {
    const groups = texts(valueAt(role, path));
    checkDistinct(groups, [...place, ...path], errors);
    groups.forEach((group, at) => {
      const bad = forbiddenCharacter(group);
      if (group.toLowerCase().startsWith('system:')) {
        errors.add([...place, ...path, at], 'a group that does not begin with system:, which are Kubernetes’ own');
      } else if (bad !== undefined || group.trim() !== group) {
        errors.add([...place, ...path, at], 'a group’s name without control characters, and without blanks around it');
      }
    });
  }
}

function checkDistinct(values: readonly string[], place: Path, errors: ValidationErrors): void {
  values.forEach((value, at) => {
    if (values.indexOf(value) < at) errors.add([...place, at], 'each name once');
  });
}

function checkReason(role: unknown, place: Path, errors: ValidationErrors): void {
  const pattern = textAt(role, 'reason');
  if (pattern === undefined) return;
  try {
    compileReason(pattern);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : 'it cannot be compiled';
    errors.add([...place, 'reason'], `a regular expression in RE2’s syntax: ${why}`);
  }
}

/**
 * Users who cannot prove when they signed in could never ask for such a role, or approve it, and would learn of it when they
 * have to. So it is an error at the start.
 */
function checkRoleFreshness(root: unknown, { role, place }: PlacedRole, errors: ValidationErrors): void {
  if (valueAt(role, ['freshness']) !== undefined) {
    const setting = { otherwise: 'no freshness of this role', effect: 'make a user a requester' };
    checkProvableGroups(root, { ...setting, place: [...place, 'requesters'] }, errors);
  }
  if (textAt(root, 'access', 'freshness') === 'off') return;
  const setting = { otherwise: 'access.freshness: off', effect: 'make a user an approver' };
  checkProvableGroups(root, { ...setting, place: [...place, 'approval', 'groups'] }, errors);
}
