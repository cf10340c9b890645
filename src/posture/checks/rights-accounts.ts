/** Service accounts that can do too much: a program that is taken over must not be an admin. */
import type { Finding } from '../rules/check.ts';
import { comment } from '../rules/kubectl.ts';
import type { Binding, Subject } from '../rules/rights.ts';
import type { RuleId } from '../rules/rules.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { allAccountsOf, escalationOf, isAccount, type Bound } from './bound-subjects.ts';

export function accountFindings(bound: Bound, index: number): readonly Finding[] {
  const { binding, facts, settings } = bound;
  const subject = binding.subjects[index];
  if (subject === undefined || isAccount(settings.gateAccount, subject) || isController(binding, subject)) return [];
  const isOne = subject.kind === 'ServiceAccount';
  const all = allAccountsOf(subject);
  if (!isOne && all === undefined) return [];
  const found = (rule: RuleId, what: string): Finding => ({
    rule,
    namespace: isOne ? subject.namespace : (all ?? ''),
    object: `${subject.kind}/${subject.name}`,
    evidence: `${givenBy(binding)}: ${what}`,
    fix: [comment('give it a role that names what it needs, then:'), subjectRemoval(binding, index)],
  });
  if (facts.admin && binding.namespace === '') return [found('account-admin', 'everything in the cluster')];
  // Where it holds in one namespace only, everything is a wildcard among others.
  const wildcard = facts.admin ? 'everything in that namespace' : facts.wildcard;
  const escalation = escalationOf(bound);
  return [
    ...(escalation === '' ? [] : [found('account-escalation', escalation)]),
    ...(wildcard === '' ? [] : [found('account-wildcard', wildcard)]),
  ];
}

/** The controllers that a cluster is born with, each under its own name with a role of its own. */
function isController(binding: Binding, subject: Subject): boolean {
  const controllerName = `system:controller:${subject.name}`;
  return subject.namespace === 'kube-system' && binding.name === controllerName && binding.role.name === controllerName;
}
