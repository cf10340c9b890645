/** What may be done without any credential at all. */
import type { Finding } from '../rules/check.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { isAnonymous, type Bound } from './bound-subjects.ts';

export function anonymousFindings({ binding, facts }: Bound, index: number): readonly Finding[] {
  const subject = binding.subjects[index];
  if (subject === undefined || !isAnonymous(subject) || facts.open) return [];
  return [
    {
      rule: 'anonymous-access',
      namespace: binding.namespace,
      object: `${subject.kind}/${subject.name}`,
      evidence: `${givenBy(binding)}: more than the health and the version that anybody may see`,
      mend: [subjectRemoval(binding, index)],
    },
  ];
}
