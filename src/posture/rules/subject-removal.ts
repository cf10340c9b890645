/** Takes one subject out of a binding. */
import { inNamespace, jsonArgument, kubectl, type FixStep } from './kubectl.ts';
import type { Binding } from './rights.ts';

/**
 * @param index of the subject. The patch tests that it still stands there, whole (RFC 6902 §4.6): the name alone may be another's, of
 *   another namespace or kind, and a list that has changed meanwhile makes the command fail rather than take somebody else out
 */
export function subjectRemoval(binding: Binding, index: number): FixStep {
  const what = `${binding.kind.toLowerCase()}/${binding.name}`;
  const where = inNamespace(binding.namespace);
  if (binding.subjects.length === 1) return kubectl('delete', what, ...where);
  const patch = [
    { op: 'test', path: `/subjects/${index}`, value: binding.subjects[index]?.written },
    { op: 'remove', path: `/subjects/${index}` },
  ];
  return kubectl('patch', what, ...where, '--type', 'json', '-p', jsonArgument(patch));
}

/** `ClusterRoleBinding/x gives ClusterRole/y`, with the namespace where it is only there. */
export function givenBy({ kind, namespace, name, role }: Binding): string {
  return `${kind}/${name} gives ${role.kind}/${role.name}${namespace === '' ? '' : ` in namespace ${namespace}`}`;
}
