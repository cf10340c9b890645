/** The gate's own account: it may act as others, so whoever has its token must find nothing else in it. */
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
      evidence: `${givenBy(binding)}${through}; the gate does not need: ${facts.beyondProxy}`,
      fix: facts.ofProxy ? narrowing(binding) : removal(binding, index),
    },
  ];
}

const EXAMPLE = 'deploy/examples/service-account.yaml';

/** The gate works by this role: taking the binding away would end it. */
const narrowing = (binding: Binding): readonly FixStep[] =>
  isExampleBinding(binding)
    ? [kubectl('apply', '-f', EXAMPLE)]
    : [
        comment(
          `narrow ${binding.role.kind}/${binding.role.name} to what ${EXAMPLE} has; of the chart’s own: helm upgrade`,
        ),
      ];

const removal = (binding: Binding, index: number): readonly FixStep[] => [
  comment(`see first that another binding gives it what ${EXAMPLE} has`),
  subjectRemoval(binding, index),
];

/** What the example makes: there the role is to be narrowed, not the binding taken away. */
const isExampleBinding = ({ kind, name, role }: Binding): boolean =>
  kind === 'ClusterRoleBinding' && name === 'portcullis' && role.name === 'portcullis';
