/**
 * Addresses of the admin pages. Every value that comes from outside is encoded here, once.
 */

export const accountHref = (account: string): string => `/admin/accounts/${encodeURIComponent(account)}`;
export const sessionHref = (id: string): string => `/admin/sessions/${encodeURIComponent(id)}`;
export const receiptHref = (id: string): string => `/admin/revocations/${encodeURIComponent(id)}`;

/** The parameters that say something, as a query with its `?`; empty for none. */
export function queryString(parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, value);
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

/** The page that asks before it revokes. */
export const revokeHref = (ask: {
  readonly kind: string;
  readonly value?: string;
  readonly lock?: boolean;
  readonly approval?: string;
}): string =>
  `/admin/revoke${queryString({
    kind: ask.kind,
    value: ask.value,
    lock: ask.lock === true ? 'on' : undefined,
    approval: ask.approval,
  })}`;

/** Where an admin whose sign-in is too old proves who they are, to come back to a page of ours. */
export const freshHref = (to: string): string => `/login/fresh${queryString({ to })}`;
