/**
 * Rules for workloads (`workload`): the settings of one, and checks of several settings together: expressions that do
 * not compile, names that are in use already, an issuer that is ourselves.
 */
import * as z from 'zod';
import { compileMapping } from '../core/identity/claims.ts';
import { isMapping, items, textAt, texts, valueAt, type ValidationErrors, type Path } from './document.ts';
import { proxied } from './outbound.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { duration, expression, host, issuerUrl, label, prefix, withPrefixes } from './values.ts';

export const workload = section({
  name: label.meta({ text: 'Stands in accounts; no provider may have the same one.' }),
  issuer: issuerUrl.meta({ text: 'The issuer of the tokens that are exchanged.' }),
  caFile: file()
    .exactOptional()
    .meta({ text: 'The CAs that verify the issuer, in PEM; without it the system’s CAs. Read again when it changes.' }),
  ...proxied(
    'The proxy of this issuer alone, as `providers[].proxy`.',
    '`NAME:PASSWORD` for that proxy. Read again when it changes.',
  ),
  hosts: list(host, 'host names')
    .default([])
    .meta({ text: 'Hosts beside the issuer’s that its discovery document may name.' }),
  // No default: a rule for every token of a public issuer would let in the whole world's jobs.
  match: expression.meta({ text: "CEL over the token's claims. The first rule of the issuer that matches counts." }),
  username: expression.default('claims.sub').meta({ text: 'Over claims: the username without its prefix.' }),
  groups: expression.exactOptional().meta({ text: 'Over claims: the groups without their prefix.' }),
  usernamePrefix: prefix
    .exactOptional()
    .meta({ text: 'The prefix of each username.', default: 'the name and a colon' }),
  groupsPrefix: prefix.exactOptional().meta({ text: 'Stands before each group.', default: 'the name and a colon' }),
  clusters: list(label, 'names of clusters').default([]).meta({ text: 'The clusters that its tokens are valid for.' }),
  life: duration('1m', '24h')
    .prefault('1h')
    .meta({ text: 'A session ends with the token that it came from, or after this, whichever is first.' }),
  role: z
    .enum(['none', 'drill', 'auditor', 'revoker'], {
      error: 'none, drill (may start drills), auditor (may read the admin API) or revoker (may revoke and lock)',
    })
    .default('none')
    .meta({
      text: 'At the admin API: `drill` may start drills, `auditor` may read, `revoker` may revoke and lock. Each may do nothing else there.',
    }),
}).transform((given) => ({ ...given, ...withPrefixes(given) }));

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
