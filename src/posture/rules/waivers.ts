/** Findings that are accepted for a while: version control shows by whom, and the file says why and until when. */
import type { Finding } from './check.ts';
import { comment } from './kubectl.ts';
import { isRuleId, type RuleId } from './rules.ts';

export interface Waiver {
  readonly rule: RuleId;
  /**
   * Pattern for `namespace/Kind/name`, or `Kind/name` for an object without a namespace; `*` stands for any
   * characters.
   */
  readonly object: string;
  readonly reason: string;
  /** Its last day, `YYYY-MM-DD` (UTC). */
  readonly until: string;
}

export type ParsedWaivers =
  | { readonly waivers: readonly Waiver[] }
  /** Every validation error, as text. */
  | { readonly errors: readonly string[] };

const KEYS = ['rule', 'object', 'reason', 'until'] as const;

/** @param document the content of the file: `waivers:` with a list */
export function parseWaivers(document: unknown): ParsedWaivers {
  const top = isRecord(document) ? document : {};
  const list = top['waivers'];
  const unknownKeys = Object.keys(top).filter((key) => key !== 'waivers');
  if (!Array.isArray(list) || unknownKeys.length > 0) {
    return { errors: ['the file must hold `waivers:` with a list, and nothing else'] };
  }
  const errors = list.flatMap((entry: unknown, index) =>
    errorsIn(entry).map((cliError) => `waivers[${index}]: ${cliError}`),
  );
  return errors.length > 0 ? { errors } : { waivers: list as readonly Waiver[] };
}

function errorsIn(entry: unknown): readonly string[] {
  if (!isRecord(entry)) return [`must have ${KEYS.join(', ')}`];
  const unknown = Object.keys(entry).filter((key) => !KEYS.some((known) => known === key));
  const missing = KEYS.filter((key) => {
    const value = entry[key];
    return typeof value !== 'string' || value.trim() === '';
  });
  const { rule, until } = entry;
  return [
    ...unknown.map((key) => `${key} is not known`),
    ...missing.map((key) => `${key} must be there, as text`),
    ...(typeof rule === 'string' && rule !== '' && !isRuleId(rule) ? [`there is no rule ${rule}`] : []),
    ...(rule === 'waiver-expired' ? ['waiver-expired cannot be waived'] : []),
    ...(typeof until === 'string' && until !== '' && !isDay(until) ? ['until must be a day, YYYY-MM-DD'] : []),
  ];
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}

/** Returns the text that a waiver's pattern is compared with. */
export const objectPath = ({ namespace, object }: Pick<Finding, 'namespace' | 'object'>): string =>
  namespace === '' ? object : `${namespace}/${object}`;

export function waives({ rule, object }: Waiver, finding: Omit<Finding, 'fix'>): boolean {
  return rule === finding.rule && matches(object, objectPath(finding));
}

/** Compares without a regular expression: a name may be a mebibyte long, and several stars would take forever. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  const last = parts.pop();
  if (last === undefined) return text === pattern;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

/** @param now epoch milliseconds */
export const isExpired = ({ until }: Waiver, now: number): boolean => until < new Date(now).toISOString().slice(0, 10);

export const expiredFinding = ({ rule, object, reason, until }: Waiver): Finding => ({
  rule: 'waiver-expired',
  namespace: '',
  object: `Waiver/${rule}:${object}`,
  evidence: `it was valid until ${until}, because: ${reason}`,
  fix: [comment('fix the waived finding, or give the waiver a new reason and a new day')],
});
