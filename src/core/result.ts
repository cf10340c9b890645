/**
 * The outcome of a decision: the value, or the tagged reason of a rejection. Core returns these; it throws only
 * for programming errors.
 */
export type Result<T, R> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: R };

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const no = <R>(reason: R): { readonly ok: false; readonly reason: R } => ({ ok: false, reason });
