/** Label and field selectors of list, watch and deletecollection. */
import { isJsonObject, objectAt } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest } from '../objects/status.ts';
import type { ResourceType } from '../resources.ts';

export type Selector = (object: KubeObject) => boolean;

/** A comma parts requirements, but not inside `in (a,b)`. */
const split = (text: string): string[] =>
  text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');

function labelRequirement(text: string): Selector {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set) {
    const [, key = '', operator, values = ''] = set;
    const wanted = new Set(values.split(',').map((value) => value.trim()));
    return (object) => {
      const value = objectAt(object.metadata, 'labels')[key];
      const found = typeof value === 'string' && wanted.has(value);
      return operator === 'in' ? found : !found;
    };
  }
  const equality = /^([^=!\s]+)\s*(=|==|!=)\s*([^=!\s]*)$/.exec(text);
  if (equality) {
    const [, key = '', operator, value = ''] = equality;
    return (object) => (objectAt(object.metadata, 'labels')[key] === value) === (operator !== '!=');
  }
  const existence = /^(!?)\s*([^=!\s()]+)$/.exec(text);
  if (existence) {
    const [, not, key = ''] = existence;
    return (object) => Object.hasOwn(objectAt(object.metadata, 'labels'), key) === (not === '');
  }
  throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
}

function fieldOf(object: KubeObject, path: string): string {
  let value: unknown = object;
  for (const key of path.split('.')) value = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return typeof value === 'string' ? value : '';
}

function fieldRequirement(resource: ResourceType, text: string): Selector {
  const match = /^([\w.]+)\s*(=|==|!=)\s*(.*)$/.exec(text);
  if (!match) throw badRequest(`invalid selector: '${text}'; can't understand '${text}'`);
  const [, path = '', operator, value] = match;
  if (!['metadata.name', 'metadata.namespace', ...resource.fields].includes(path)) {
    throw badRequest(`field label not supported: ${path}`);
  }
  return (object) => (fieldOf(object, path) === value) === (operator !== '!=');
}

/**
 * Reads `labelSelector` and `fieldSelector`.
 * @throws StatusError 400 for a selector that cannot be read, or a field that this kind cannot be selected by
 */
export function selectorOf(resource: ResourceType, query: URLSearchParams): Selector {
  const requirements = [
    ...split(query.get('labelSelector') ?? '').map(labelRequirement),
    ...split(query.get('fieldSelector') ?? '').map((text) => fieldRequirement(resource, text)),
  ];
  return (object) => requirements.every((holds) => holds(object));
}
