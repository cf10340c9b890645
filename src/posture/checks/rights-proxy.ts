/**
 * The proxy's own service account. It may act as other users, so it must have no other rights that an attacker with
 * its token could use.
 */
import type { Finding } from '../rules/check.ts';
import { comment, kubectl, type FixStep } from '../rules/kubectl.ts';
import type { Binding } from '../rules/rights.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { allAccountsOf, isAccount, type Bound } from './bound-subjects.ts';

export function proxyAccountFindings({ binding, facts, settings }: Bound, index: number): readonly Finding[] {
  const subject = binding.subjects[index];
  if (subject === undefined || facts.beyondProxy === '') return [];
  const { namespace, name } = settings.gateAccount;
  const all = allAccountsOf(subject);
  const itself = isAccount(settings.gateAccount, subject);
  if (!itself && all !== '' && all !== namespace) return [];
  const through = itself ? '' : `, through Group/${subject.name}`;
  return [
    {
      rule: 'gate-account',
      namespace,
      object: `ServiceAccount/${name}`,
      evidence: `${givenBy(binding)}${through}; Portcullis does not need: ${facts.beyondProxy}`,
      fix: facts.ofProxy ? narrowing(binding) : removal(binding, index),
    },
  ];
}

const EXAMPLE = 'deploy/examples/service-account.yaml';

/** The proxy works by this role: removing the binding would stop it. */
const narrowing = (binding: Binding): readonly FixStep[] =>
  isExampleBinding(binding)
    ? [kubectl('apply', '-f', EXAMPLE)]
    : [
        comment(
          `narrow ${binding.role.kind}/${binding.role.name} to what ${EXAMPLE} has; for the role of the chart: helm upgrade`,
        ),
      ];

const removal = (binding: Binding, index: number): readonly FixStep[] => [
  comment(`first check that another binding gives it the rights of ${EXAMPLE}`),
  subjectRemoval(binding, index),
];

/** Returns true for the example's binding: there the role must be narrowed, and the binding must stay. */
const isExampleBinding = ({ kind, name, role }: Binding): boolean =>
  kind === 'ClusterRoleBinding' && name === 'portcullis' && role.name === 'portcullis';
