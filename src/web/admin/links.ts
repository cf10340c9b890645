/**
 * The URLs of the admin pages. Every value from outside is encoded here, once.
 */

export const accountHref = (account: string): string => `/admin/accounts/${encodeURIComponent(account)}`;
export const sessionHref = (id: string): string => `/admin/sessions/${encodeURIComponent(id)}`;
export const receiptHref = (id: string): string => `/admin/revocations/${encodeURIComponent(id)}`;

/** Returns the URL of the audit page with all events of one request. */
export const auditHref = (auditId: string): string => `/admin/audit${queryString({ auditId })}`;

/** For as long as receipts are kept, each with its receipt. */
export const REVOKED = { event: 'revocation', since: '30d' } as const;

/** Returns the parameters that are not empty as a query with its `?`; empty where there is none. */
export function queryString(parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, value);
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

/** Returns the URL of the page that asks for confirmation before a revocation. */
export const revokeHref = (fields: {
  readonly kind: string;
  readonly value?: string;
  readonly lock?: boolean;
  readonly approval?: string;
  readonly force?: boolean;
}): string =>
  `/admin/revoke${queryString({
    kind: fields.kind,
    value: fields.value,
    lock: fields.lock === true ? 'on' : undefined,
    approval: fields.approval,
    force: fields.force === true ? 'on' : undefined,
  })}`;

/** Returns the URL where an admin whose sign-in is too old signs in again, and which leads back to the page `to`. */
export const freshHref = (to: string): string => `/login/fresh${queryString({ to })}`;

/** All revocations of all users. */
export const REVOCATIONS_HREF = `/admin/audit${queryString(REVOKED)}`;
