/**
 * The proxy's own service account. It may act as other users, so it must have no other rights that an attacker with
 * its token could use.
 */
import type { Finding } from '../rules/check.ts';
import { comment, kubectl, type FixStep } from '../rules/kubectl.ts';
import type { Binding, Subject } from '../rules/rights.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { allAccountsOf, isAccount, isAuthenticated, type Bound } from './bound-subjects.ts';

export function proxyAccountFindings({ binding, facts, settings }: Bound, index: number): readonly Finding[] {
  const subject = binding.subjects[index];
  if (subject === undefined || facts.beyondProxy === '') return [];
  const { namespace, name } = settings.proxyAccount;
  const all = allAccountsOf(subject);
  const itself = isAccount(settings.proxyAccount, subject);
  if (!itself && all !== '' && all !== namespace) return [];
  const through = itself ? '' : `, through Group/${subject.name}`;
  return [
    {
      rule: 'proxy-account',
      namespace,
      object: `ServiceAccount/${name}`,
      evidence: `${givenBy(binding)}${through}; Portcullis does not need: ${facts.beyondProxy}`,
      fix: facts.ofProxy ? narrowing(binding, exampleFor(facts)) : removal(binding, index),
    },
  ];
}

/**
 * Reports a right to impersonate by the legacy verb. The API server accepts a user by that or by a constrained mode, so it
 * matters where the account has the rights to one (`facts.constrainedImpersonation` of any binding).
 */
export function legacyFindings({ binding, facts, settings }: Bound, index: number): readonly Finding[] {
  const subject = binding.subjects[index];
  if (subject === undefined || !includesProxy(settings, subject) || !isLegacyIn({ binding, facts })) return [];
  const { namespace, name } = settings.proxyAccount;
  return [
    {
      rule: 'constrained-inert',
      namespace,
      object: `ServiceAccount/${name}`,
      evidence: `${givenBy(binding)}: ${facts.legacyImpersonation}`,
      fix: facts.constrainedImpersonation
        ? [comment(`remove the verb impersonate from ${binding.role.kind}/${binding.role.name}`)]
        : [
            comment('first check that another role gives the account its constrained rights:'),
            subjectRemoval(binding, index),
          ],
    },
  ];
}

/** Returns whether a subject is the proxy's account, or a group that it is in. */
export function includesProxy({ proxyAccount }: Pick<Bound['settings'], 'proxyAccount'>, subject: Subject): boolean {
  const all = allAccountsOf(subject);
  return isAccount(proxyAccount, subject) || all === '' || all === proxyAccount.namespace || isAuthenticated(subject);
}

/** Within a namespace the API server checks only service accounts. */
const isLegacyIn = ({ binding, facts }: Pick<Bound, 'binding' | 'facts'>): boolean =>
  facts.legacyImpersonation !== '' &&
  (binding.namespace === '' || facts.admin || facts.escalationInNamespace.includes('impersonate on'));

const EXAMPLE = 'deploy/examples/service-account.yaml';

/** An account with constrained rights must not get the legacy ones of the other example. */
const exampleFor = ({ constrainedImpersonation }: Bound['facts']): string =>
  constrainedImpersonation ? 'deploy/examples/service-account-constrained.yaml' : EXAMPLE;

/** The proxy works by this role: removing the binding would stop it. */
const narrowing = (binding: Binding, example: string): readonly FixStep[] =>
  isExampleBinding(binding)
    ? [kubectl('apply', '-f', example)]
    : [
        comment(
          `narrow ${binding.role.kind}/${binding.role.name} to what ${example} has; for the role of the chart: helm upgrade`,
        ),
      ];

const removal = (binding: Binding, index: number): readonly FixStep[] => [
  comment(`first check that another binding gives it the rights of ${EXAMPLE}`),
  subjectRemoval(binding, index),
];

/** Returns true for the example's binding: there the role must be narrowed, and the binding must stay. */
const isExampleBinding = ({ kind, name, role }: Binding): boolean =>
  kind === 'ClusterRoleBinding' && name === 'portcullis' && role.name === 'portcullis';
