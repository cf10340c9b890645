/** Descriptions of `stepUp`, for docs/reference/configuration.md. */
export const STEP_UP_DESCRIPTIONS: readonly (readonly [path: string, meaning: string])[] = [
  ['stepUp[].clusters', 'The clusters that the rules are for.'],
  [
    'stepUp[].rules',
    'Requests for which a user’s last sign-in at the provider must be recent. A request that touches several items needs each of them. [Step-up](../step-up.md) says when a request touches a rule.',
  ],
  [
    'stepUp[].rules[].verbs',
    'As in RBAC, by what the request does: `create` for a shell by `pods/exec`. `get` is touched by `list` and `watch` and every change too, `delete` by `deletecollection`, `update` and `patch` by each other.',
  ],
  ['stepUp[].rules[].apiGroups', 'As in RBAC; needed with `resources`. `""` is the core group, `"*"` every group.'],
  ['stepUp[].rules[].resources', 'As in RBAC: `secrets`, `pods/exec`, `*/scale`; `"*"` covers all subresources too.'],
  [
    'stepUp[].rules[].resourceNames',
    'As in RBAC. A request that names no object, such as a list or a create, touches the rule.',
  ],
  ['stepUp[].rules[].nonResourceURLs', 'As in RBAC, in place of `apiGroups` and `resources`.'],
  [
    'stepUp[].rules[].namespaces',
    'The namespaces that the rule is for. A request for all namespaces, or for what is in none, touches it.',
  ],
  ['stepUp[].maxAge', 'How long ago the user’s last sign-in at the provider may be. `clockSkew` is added.'],
];

export const STEP_UP_DEFAULTS: readonly (readonly [path: string, text: string])[] = [
  ['stepUp[].clusters', 'all clusters'],
  ['stepUp[].rules[].resourceNames', 'all names'],
  ['stepUp[].rules[].namespaces', 'all namespaces, and what is in none'],
];
