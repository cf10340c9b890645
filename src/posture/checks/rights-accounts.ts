/** Service accounts that can do too much: an attacker who takes over a program must not become an admin. */
import type { Finding } from '../rules/check.ts';
import { comment } from '../rules/kubectl.ts';
import type { Binding, Subject } from '../rules/rights.ts';
import type { RuleId } from '../rules/rules.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { allAccountsOf, escalationOf, isAccount, type Bound } from './bound-subjects.ts';

export function accountFindings(bound: Bound, index: number): readonly Finding[] {
  const { binding, facts, settings } = bound;
  const subject = binding.subjects[index];
  if (subject === undefined || isAccount(settings.proxyAccount, subject) || isController(binding, subject)) return [];
  const isOne = subject.kind === 'ServiceAccount';
  const all = allAccountsOf(subject);
  if (!isOne && all === undefined) return [];
  const found = (rule: RuleId, what: string): Finding => ({
    rule,
    namespace: isOne ? subject.namespace : (all ?? ''),
    object: `${subject.kind}/${subject.name}`,
    evidence: `${givenBy(binding)}: ${what}`,
    fix: [comment('give it a role that names only what it needs, then:'), subjectRemoval(binding, index)],
  });
  if (facts.admin && binding.namespace === '') return [found('account-admin', 'everything in the cluster')];
  // In a single namespace, all rights count as a wildcard.
  const wildcard = facts.admin ? 'everything in that namespace' : facts.wildcard;
  const escalation = escalationOf(bound);
  return [
    ...(escalation === '' ? [] : [found('account-escalation', escalation)]),
    ...(wildcard === '' ? [] : [found('account-wildcard', wildcard)]),
  ];
}

/** Returns true for the built-in controllers, each with a role of its own name. */
function isController(binding: Binding, subject: Subject): boolean {
  const controllerName = `system:controller:${subject.name}`;
  return subject.namespace === 'kube-system' && binding.name === controllerName && binding.role.name === controllerName;
}
