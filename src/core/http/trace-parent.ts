/**
 * Reads the trace that a request belongs to according to the client (W3C Trace Context, `traceparent`), so that
 * traces and the audit log can be joined.
 *
 * A client can send any id, so it joins and proves nothing. Only a well-formed one is accepted.
 */
import { valuesOf, type RawHeaders } from './header-names.ts';

/** In version 00 nothing may follow the flags; in a later one more may. `ff` is no version. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

const isZero = (hex: string): boolean => /^0+$/.test(hex);

/**
 * @returns the trace id, 32 hexadecimal digits in lower case; undefined if there is none, or two that could differ
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */
export function traceId(raw: RawHeaders): string | undefined {
  const [value, ...others] = valuesOf(raw, 'traceparent');
  if (value === undefined || others.length > 0) return undefined;
  const [, version = '', trace = '', parent = '', more] = TRACEPARENT.exec(value.trim()) ?? [];
  if (trace === '' || isZero(trace) || isZero(parent)) return undefined;
  return version === '00' && more !== undefined ? undefined : trace;
}
