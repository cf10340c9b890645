/** Checks that every user who needs a fresh sign-in can also prove when they signed in (`admin.freshness`, `access`). */
import { PROVIDER_TYPES, PROVIDERS } from '../core/identity/provider-types.ts';
import { items, textAt, texts, valueAt, type Path, type ValidationErrors } from './document.ts';
import { provesFreshness } from './providers.ts';

/**
 * Admins from a provider that does not say when they signed in would be rejected for every change, and learn of it
 * during an incident; so it is an error at the start. Reads the document itself, so that an error elsewhere hides
 * none of these.
 */
export function checkFreshness(root: unknown, errors: ValidationErrors): void {
  if (textAt(root, 'admin', 'freshness') === 'off') return;
  const setting = { otherwise: 'admin.freshness: off', effect: 'make a user an admin' };
  checkProvableGroups(root, { ...setting, place: ['admin', 'groups'] }, errors);
}

/**
 * Checks a list of groups whose members need a fresh sign-in.
 * @param setting.otherwise what else would do
 * @param setting.effect what a provider can do by such a group
 */
export function checkProvableGroups(
  root: unknown,
  { place, otherwise, effect }: { readonly place: Path; readonly otherwise: string; readonly effect: string },
  errors: ValidationErrors,
): void {
  const silent = silentProviders(root);
  texts(valueAt(root, place)).forEach((group, index) => {
    // A user without groups is in none of the groups that count.
    const provider = silent.find(({ prefix }) => prefix !== undefined && group.startsWith(prefix));
    if (provider === undefined) return;
    const { name, because, prefix } = provider;
    const by = prefix === '' ? `${JSON.stringify(group)}, since its groupsPrefix is empty` : JSON.stringify(group);
    errors.add(
      [...place, index],
      `a group of another provider, or ${otherwise}, because ${name} can ${effect} by ${by}, and ${because}`,
    );
  });
}

/** A provider that does not say when its users signed in. */
interface SilentProvider {
  /** In `providers`. */
  readonly index: number;
  readonly name: string;
  readonly because: string;
  /** Its type could, and `freshness: none` switches it off. */
  readonly couldProve: boolean;
  /** Of its users' groups; undefined where it gives none. */
  readonly prefix: string | undefined;
}

export function silentProviders(root: unknown): readonly SilentProvider[] {
  return items(root, 'providers').flatMap((provider, index) => {
    const named = textAt(provider, 'type') ?? 'oidc';
    const type = PROVIDER_TYPES.find((known) => known === named);
    if (type === undefined || provesFreshness(type, textAt(provider, 'freshness'))) return [];
    const name = textAt(provider, 'name') ?? '';
    const serviceAccountFile = textAt(provider, 'serviceAccountFile');
    const groups = textAt(provider, 'groups') ?? PROVIDERS[type].groups({ serviceAccountFile });
    const couldProve = provesFreshness(type);
    const because = couldProve ? 'its freshness is none' : `${type} does not say when they signed in`;
    const prefix = groups === undefined ? undefined : (textAt(provider, 'groupsPrefix') ?? `${name}:`);
    return [{ index, name, because, couldProve, prefix }];
  });
}
