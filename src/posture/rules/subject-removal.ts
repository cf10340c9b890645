/** Removes one subject from a binding. */
import { inNamespace, jsonArgument, kubectl, type FixStep } from './kubectl.ts';
import type { Binding } from './rights.ts';

/**
 * @param index of the subject. The patch tests that the whole subject is still there (RFC 6902 §4.6): another
 *   subject may have the same name in another namespace or kind, and where the list has changed meanwhile, the
 *   command fails instead of removing another subject
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

/** Returns `ClusterRoleBinding/x gives ClusterRole/y`, with the namespace for a RoleBinding. */
export function givenBy({ kind, namespace, name, role }: Binding): string {
  return `${kind}/${name} gives ${role.kind}/${role.name}${namespace === '' ? '' : ` in namespace ${namespace}`}`;
}
