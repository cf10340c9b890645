/** The verbs that requests have, as `requestInfo` finds them. */

/** Of requests about a resource, but for the legacy prefix `/proxy/` and for OPTIONS, whose verb is empty. */
export const RESOURCE_VERBS: readonly string[] = [
  'get',
  'list',
  'watch',
  'create',
  'update',
  'patch',
  'delete',
  'deletecollection',
];

/** Of requests that are about no resource: the method in lower case. */
export const PATH_VERBS: readonly string[] = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options'];
