/** What auditors ask most, as filters of the audit log, and a question as it is typed in one line. */
import { no, ok, type Result } from '../result.ts';

export interface AuditQuestion {
  readonly label: string;
  /** By the names of the audit log's filters. */
  readonly filter: Readonly<Record<string, string>>;
}

const READS = 'get,list,watch';
const CHANGES = 'create,update,patch,delete,deletecollection';

/** The names are typed as well: `audit query --about secrets`. */
export const AUDIT_QUESTIONS = {
  secrets: { label: 'Reads of Secrets', filter: { verb: READS, resource: 'secrets' } },
  changes: { label: 'Changes', filter: { verb: CHANGES } },
  shells: { label: 'Shells', filter: { resource: 'pods/exec,pods/attach,pods/ephemeralcontainers' } },
  impersonation: { label: 'As another user', filter: { as: '*' } },
  agents: { label: 'By agents', filter: { actor: '*' } },
  refused: { label: 'Refused', filter: { refused: 'true' } },
  'sign-ins': { label: 'Sign-ins', filter: { event: 'sign-in,sign-in-refused,workload-exchange,workload-refused' } },
  admins: {
    label: 'Admins',
    filter: { event: 'revocation,lock,unlock,fresh-sign-in-lifted,drill,approval-asked,admin-refused' },
  },
} as const satisfies Readonly<Record<string, AuditQuestion>>;

/** Short names in a typed question. */
const SHORT: ReadonlyMap<string, string> = new Map([
  ['ns', 'namespace'],
  ['res', 'resource'],
  ['id', 'auditId'],
  ['from', 'since'],
]);

const VERBS: ReadonlyMap<string, string> = new Map([
  ['read', READS],
  ['write', CHANGES],
  ['change', CHANGES],
]);

/**
 * Parses a question such as `user:corp:alice ns:shop verb:read`: each part names a filter.
 * @param names the filters that there are
 * @returns the filters, or a sentence that says what is wrong
 */
export function parseQuestion(text: string, names: readonly string[]): Result<Record<string, string>, string> {
  const filters: Record<string, string> = {};
  for (const part of text.split(/\s+/).filter((one) => one !== '')) {
    const colon = part.indexOf(':');
    const typed = colon === -1 ? '' : part.slice(0, colon);
    const name = SHORT.get(typed) ?? typed;
    const value = part.slice(colon + 1);
    if (colon <= 0) return no(`“${part}” has no name in front: write user:${part}, ns:${part} or res:${part}.`);
    if (!names.includes(name)) return no(`There is no filter “${typed}”. There are ${names.join(', ')}.`);
    if (value === '') return no(`“${part}” has no value.`);
    if (filters[name] !== undefined) return no(`“${name}” is there twice. Several values have a comma between them.`);
    filters[name] = name === 'verb' ? (VERBS.get(value) ?? value) : value;
  }
  return ok(filters);
}

/** Returns filters as they are typed. A value with a space in it is not among them. */
export const questionOf = (filters: Readonly<Record<string, string | undefined>>): string =>
  Object.entries(filters)
    .flatMap(([name, value]) => (value === undefined || /\s/.test(value) ? [] : [`${name}:${value}`]))
    .join(' ');

/** Users type what they type to kubectl: `secret`, `deploy`, `deployments.apps`. Nothing in the audit log is called so. */
export const isAsLogged = (resource: string): boolean =>
  resource.split(',').every((one) => /^[a-z0-9-]+s(?:\/[a-z]+)?$/.test(one));
