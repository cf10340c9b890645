/** Descriptions of `access`, in place of the sample’s own; and those of `stepUp`. */
import { STEP_UP_DEFAULTS, STEP_UP_DESCRIPTIONS } from './step-up-descriptions.ts';

export const ACCESS_DESCRIPTIONS: readonly (readonly [path: string, meaning: string])[] = [
  [
    'access.roles',
    'What users may ask for ([access requests](../access-requests.md)). A role that is changed must be asked for again; the grants of one that is removed end.',
  ],
  ['access.roles[].name', 'What users type, and what audit events, metrics and notices name.'],
  ['access.roles[].approval', 'Who must approve: `none` is break-glass. There is no default.'],
  [
    'access.roles[].approval.groups',
    'Groups whose members may approve, and may end a grant. Never the requester, at no provider. An empty list: no user may, so no one gets the role.',
  ],
  ['access.roles[].approval.count', 'How many different users must approve.'],
  [
    'access.notify',
    'Webhooks that are told of requests, approvals, grants and their ends ([notices](../access-requests.md#notices)). Nothing waits for one.',
  ],
  ['access.notify[].name', 'What it is called in the log and in metrics.'],
  [
    'access.notify[].url',
    'Its URL, for `json` alone. Redirects are not followed; plain http only for a loopback host.',
  ],
  [
    'access.notify[].urlFile',
    'A file that holds its URL, where that is a secret: required for `slack` and `teams`, whose URLs let anyone write to the channel. It is followed when it is replaced.',
  ],
  [
    'access.notify[].secretFile',
    'Holds the secret for signatures (Standard Webhooks): `whsec_` and the base64 of 24 to 64 random bytes. Required for `json`. With several, one a line and three at most, each signs, so that receivers can change to another one. It is followed when it is replaced.',
  ],
  ['access.notify[].caFile', 'The CA certificates that verify it; without it, the system’s CAs. Followed.'],
  ['access.notify[].proxy', 'The proxy of this webhook alone, as `providers[].proxy`.'],
  ['access.notify[].proxyCredentialsFile', 'Name and password for that proxy, as `NAME:PASSWORD`.'],
  ['access.notify[].timeout', 'How long one attempt may take.'],
  ...STEP_UP_DESCRIPTIONS,
];

export const ACCESS_DEFAULTS: readonly (readonly [path: string, text: string])[] = [
  ['access.roles[].clusters', 'all clusters'],
  ['access.roles[].reason', 'any reason, or none'],
  ['access.roles[].freshness', 'at any time'],
  ['access.notify[].proxy', 'that of `outbound`'],
  ['access.notify[].events', 'all'],
  ['access.notify[].roles', 'all'],
  ...STEP_UP_DEFAULTS,
];
