/**
 * Users and groups with names that no provider of Portcullis gives. Anyone with such a name has a client
 * certificate, a static token or the token of another issuer, and Portcullis neither audits nor revokes their
 * access.
 */
import type { Finding } from '../rules/check.ts';
import { comment } from '../rules/kubectl.ts';
import type { Binding, Subject } from '../rules/rights.ts';
import type { RuleId } from '../rules/rules.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { escalationOf, isAnonymous, isAuthenticated, type Bound } from './bound-subjects.ts';

/** Names of the control plane itself. */
const COMPONENTS = new Set([
  'User system:apiserver',
  'User system:kube-controller-manager',
  'User system:kube-proxy',
  'User system:kube-scheduler',
  'Group system:authenticated',
  'Group system:bootstrappers',
  'Group system:monitoring',
  'Group system:nodes',
  'Group system:serviceaccounts',
]);
const COMPONENT_FAMILIES = ['User system:node:', 'Group system:bootstrappers:', 'Group system:serviceaccounts:'];

const MASTERS = 'system:masters';

export function userFindings(bound: Bound, index: number): readonly Finding[] {
  const { binding, facts, settings } = bound;
  const subject = binding.subjects[index];
  if (subject === undefined || settings.prefixes.length === 0 || isPortcullisUser(subject, settings.prefixes))
    return [];
  if ((subject.kind !== 'User' && subject.kind !== 'Group') || isAnonymous(subject)) return [];
  const strong =
    [facts.admin ? 'everything' : '', escalationOf(bound), facts.wildcard].find((what) => what !== '') ?? '';
  const found = (rule: RuleId, origin: string): Finding => ({
    rule,
    namespace: binding.namespace,
    object: `${subject.kind}/${subject.name}`,
    evidence: `${origin}; ${givenBy(binding)}${strong === '' ? '' : `: ${strong}`}`,
    fix: [
      comment('once they sign in to Portcullis, with a name that a provider gives them:'),
      subjectRemoval(binding, index),
    ],
  });
  if (isKubernetesComponent(subject)) {
    // Every authenticated client, of any issuer.
    const tooMuch = isAuthenticated(subject) ? strong !== '' : facts.admin;
    return tooMuch && subject.name !== 'system:serviceaccounts' && !subject.name.startsWith('system:serviceaccounts:')
      ? [
          found(
            'admin-bypasses-proxy',
            subject.kind === 'User' ? 'a name of the cluster itself' : 'a group that the cluster itself assigns',
          ),
        ]
      : [];
  }
  if (subject.kind === 'Group' && subject.name === MASTERS) {
    return isBuiltIn(binding) ? [] : [found('admin-bypasses-proxy', 'every client certificate with O=system:masters')];
  }
  const origin = `no provider of Portcullis gives this name: ${certificateText(subject)}`;
  return [found(strong === '' ? 'user-bypasses-proxy' : 'admin-bypasses-proxy', origin)];
}

const isPortcullisUser = ({ name }: Subject, prefixes: readonly string[]): boolean =>
  !name.startsWith('system:') && prefixes.some((prefix) => name.startsWith(prefix) && name.length > prefix.length);

function isKubernetesComponent({ kind, name }: Subject): boolean {
  const whole = `${kind} ${name}`;
  return COMPONENTS.has(whole) || COMPONENT_FAMILIES.some((family) => whole.startsWith(family));
}

/**
 * Returns true for the one binding of this group that a cluster creates itself, and creates again when it is
 * deleted.
 */
const isBuiltIn = ({ kind, name, role }: Binding): boolean =>
  kind === 'ClusterRoleBinding' && name === 'cluster-admin' && role.name === 'cluster-admin';

const certificateText = ({ kind, name }: Subject): string =>
  `a client certificate (${kind === 'User' ? 'CN' : 'O'}=${name}), a static token or another issuer can`;
