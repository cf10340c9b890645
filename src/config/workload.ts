/**
 * Checks of several settings of a workload rule together: expressions that do not compile, names that are in use
 * already, an issuer that is ourselves.
 */
import { compileMapping } from '../core/identity/claims.ts';
import { isMapping, items, textAt, texts, valueAt, type ValidationErrors, type Path } from './document.ts';

/** Reads the document itself, so that an error elsewhere in a rule hides none of these. */
export function checkWorkload(root: unknown, errors: ValidationErrors): void {
  const providers = items(root, 'providers').map((provider) => textAt(provider, 'name'));
  const clusters = items(root, 'clusters').map((cluster) => textAt(cluster, 'name'));
  const publicUrl = textAt(root, 'publicUrl');
  items(root, 'workload').forEach((rule, index) => {
    const base = ['workload', index];
    if (!isMapping(rule)) return;
    // An account is NAME/SUBJECT. An attacker at a rule that has the name of a provider could produce its users,
    // so names are unique.
    const name = textAt(rule, 'name');
    const owner = name === undefined ? -1 : providers.indexOf(name);
    if (owner !== -1) errors.add([...base, 'name'], `a name of its own: providers[${owner}] has this one`);
    // A workload would exchange one of our own tokens for more of them, without end, so our own issuer is not
    // allowed.
    if (publicUrl !== undefined && textAt(rule, 'issuer') === publicUrl) {
      errors.add([...base, 'issuer'], 'an issuer other than publicUrl');
    }
    texts(valueAt(rule, ['clusters'])).forEach((cluster, position) => {
      if (!clusters.includes(cluster)) {
        errors.add([...base, 'clusters', position], 'the name of one of the clusters');
      }
    });
    checkReach(rule, base, errors);
    checkExpressions(rule, base, errors);
  });
}

/** A rule without a cluster or a role is a mistake. */
function checkReach(rule: unknown, base: Path, errors: ValidationErrors): void {
  const named = valueAt(rule, ['clusters']);
  const none = named === undefined || (Array.isArray(named) && named.length === 0);
  if (none && ['none', undefined].includes(textAt(rule, 'role'))) {
    errors.add([...base, 'clusters'], 'at least one cluster, or a role');
  }
}

function checkExpressions(rule: unknown, base: Path, errors: ValidationErrors): void {
  const groups = textAt(rule, 'groups');
  const mapping = compileMapping({
    name: '',
    usernamePrefix: '',
    groupsPrefix: '',
    username: textAt(rule, 'username') ?? 'claims.sub',
    ...(groups === undefined ? {} : { groups }),
    extra: {},
    emailVerified: 'claim',
    rules: [{ expression: textAt(rule, 'match') ?? 'true', message: '' }],
    userRules: [],
  });
  if (mapping.ok) return;
  for (const { place, message } of mapping.reason) {
    errors.add([...base, place.startsWith('rules') ? 'match' : place], `a CEL expression that compiles: ${message}`);
  }
}
