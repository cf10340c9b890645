/** The admin API, for browsers and programs. */
import { ADMIN_AUDIENCE } from '../core.ts';
import { ADMIN_OPERATIONS } from './admin-operations.ts';
import { ADMIN_CALLS, ADMIN_CHANGES, ADMIN_PROBLEMS } from './admin-problems.ts';
import { ADMIN_SCHEMAS } from './admin-schemas.ts';
import type { ApiDescription } from './operation.ts';
import { REVOCATION_TARGETS } from './requests.ts';

export const ADMIN_API = {
  title: 'Portcullis admin API',
  description: `Sessions, revocations, locks, replicas, drills and the live audit log of Portcullis.

The same resources are served at two addresses. Pages use \`/admin/api/v1\` on the web listener, with the browser's cookie; a change needs the \`Origin\` of Portcullis and the header \`X-CSRF-Token\` with the token of any form of its pages, and an \`Authorization\` header is rejected. Programs use \`/-/admin/api/v1\` on the api listener, with a Bearer token with the audience \`urn:portcullis:admin\` that is bound to their client certificate (RFC 8705). Admins read and change, auditors read; a workload has the role of its rule: \`auditor\` reads, \`revoker\` revokes and locks, \`drill\` starts drills. Every call is audited.`,
  servers: [
    { url: '/admin/api/v1', by: 'cookie' },
    { url: '/-/admin/api/v1', by: 'bearer' },
  ],
  audience: ADMIN_AUDIENCE,
  root: '',
  bodyBytes: '16kb',
  operations: ADMIN_OPERATIONS,
  schemas: ADMIN_SCHEMAS,
  refinements: {
    RevocationRequest: {
      description:
        'Exactly one target, and a reason. `lock` needs a target that is one account: `account`, `username` or `workload`.',
      oneOf: REVOCATION_TARGETS.map((target) => ({ required: [target] })),
      dependentRequired: { workload: ['subject'], subject: ['workload'] },
    },
  },
  problems: ADMIN_PROBLEMS,
  common: { ofCalls: ADMIN_CALLS, ofChanges: ADMIN_CHANGES },
} as const satisfies ApiDescription;
