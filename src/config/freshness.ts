/** Checks that every user who can be an admin can also prove when they signed in (`admin.freshness`). */
import { items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';
import { defaultGroups, PROVIDER_TYPES, provesFreshness } from './provider-types.ts';

/**
 * Admins from a provider that does not say when they signed in would be rejected for every change, and learn of it
 * during an incident; so it is an error at the start. Reads the document itself, so that an error elsewhere hides
 * none of these.
 */
export function checkFreshness(root: unknown, errors: ValidationErrors): void {
  if (textAt(root, 'admin', 'freshness') === 'off') return;
  const silent = items(root, 'providers').flatMap((provider) => {
    const named = textAt(provider, 'type') ?? 'oidc';
    const type = PROVIDER_TYPES.find((known) => known === named);
    if (type === undefined || provesFreshness(type, textAt(provider, 'freshness'))) return [];
    const name = textAt(provider, 'name') ?? '';
    const serviceAccountFile = textAt(provider, 'serviceAccountFile');
    // A user without groups is no admin.
    const groups = textAt(provider, 'groups') ?? defaultGroups({ type, serviceAccountFile });
    const because = provesFreshness(type) ? 'its freshness is none' : `${type} does not say when they signed in`;
    return groups === undefined ? [] : [{ name, because, prefix: textAt(provider, 'groupsPrefix') ?? `${name}:` }];
  });
  texts(valueAt(root, ['admin', 'groups'])).forEach((group, index) => {
    const provider = silent.find(({ prefix }) => group.startsWith(prefix));
    if (provider === undefined) return;
    const { name, because, prefix } = provider;
    const by = prefix === '' ? `${JSON.stringify(group)}, since its groupsPrefix is empty` : JSON.stringify(group);
    errors.add(
      ['admin', 'groups', index],
      `a group of another provider, or admin.freshness: off, because ${name} can make a user an admin by ${by}, and ${because}`,
    );
  });
}
