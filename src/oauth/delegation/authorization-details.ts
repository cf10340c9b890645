/**
 * `authorization_details` (RFC 9396) of an exchange: which rights the client wants for this session, in the grammar of
 * a limit, and for which clusters.
 */
import { MOST_LIMIT_BYTES } from '../../core/delegation/delegation.ts';
import { parseLimit } from '../../core/delegation/parse.ts';
import type { RightsLimit } from '../../core/delegation/rights.ts';
import { no, ok, type Result } from '../../core/result.ts';

/** RFC 9396 §2.1: a name that no other server gives another meaning. */
export const RIGHTS_DETAIL = 'urn:portcullis:rights';

export interface AskedRights {
  /** Absent: none besides the client's own. */
  readonly limit?: RightsLimit;
  /** Absent: all that the client may have. */
  readonly clusters?: readonly string[];
}

/** @returns `no` with a message that quotes nothing of the request but names of members */
export function askedRights(text: string): Result<AskedRights, string> {
  if (Buffer.byteLength(text) > MOST_LIMIT_BYTES) {
    return no(`authorization_details is larger than ${MOST_LIMIT_BYTES} bytes.`);
  }
  const [detail, ...others] = listIn(text) ?? [];
  // Two details would add up (RFC 9396 §2), and two limits would not: which was meant would be unknown.
  if (typeof detail !== 'object' || detail === null || Array.isArray(detail) || others.length > 0) {
    return no(`authorization_details must be a JSON list of one object of type ${RIGHTS_DETAIL}.`);
  }
  const { type, clusters, ...rest }: Readonly<Record<string, unknown>> = { ...detail };
  if (type !== RIGHTS_DETAIL) return no(`authorization_details[0].type must be ${RIGHTS_DETAIL}.`);
  if (clusters !== undefined && !isNames(clusters)) {
    return no('authorization_details[0].clusters must be a list of at least one name of a cluster.');
  }
  const named = clusters === undefined ? {} : { clusters: [...new Set(clusters)] };
  if (Object.keys(rest).length === 0) return ok(named);
  const limit = parseLimit(rest);
  if (limit.ok) return ok({ ...named, limit: limit.value });
  const { place, message } = limit.reason;
  return no(`authorization_details[0]${place === '' ? '' : `.${place}`}: ${message}`);
}

function listIn(text: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string' && name !== '');
