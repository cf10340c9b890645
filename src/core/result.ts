/** A decision's outcome: the value, or the tagged reason why not. Core returns these; it throws for programming faults only. */
export type Result<T, R> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: R };

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const no = <R>(reason: R): { readonly ok: false; readonly reason: R } => ({ ok: false, reason });
