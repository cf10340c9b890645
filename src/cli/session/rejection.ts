/**
 * A refusal as the server words it for who waits (`error_description`, RFC 6749 §4.1.2.1), taken apart for terminal and page.
 */
import type { AppError } from '../../core/errors.ts';
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';

/** Longer than the longest rule with its contact: the request id is at the end. */
const LONGEST = 2000;

interface Rejection {
  readonly what: string;
  /** Whom to ask and the request id, each with its name. None where the server says no more than what it refuses. */
  readonly facts: readonly string[];
}

/** @param said what a server said, which may be anything */
function parseRejection(description: string): Rejection {
  const text = plainText(description, LONGEST);
  const parts = /^(.+) (Whom to ask: .+) (Request id: [\w.-]{1,128})$/.exec(text);
  if (parts === null) return { what: text, facts: [] };
  const [, what = '', ...facts] = parts;
  return { what, facts };
}

/**
 * @param said as the server said it
 * @param otherwise the words where it says no more than that it refuses
 */
export function rejectionError(description: string, otherwise: string, login: string): AppError {
  const { what, facts } = parseRejection(description);
  const full = facts.length > 0;
  const message = full ? [`The sign-in was refused: ${what}`, ...facts].join('\n  ') : otherwise;
  const next = full ? `ask there and say the request id, or use another account: ${login}` : login;
  return cliError('sign_in_refused', message, next, { reason: 'sign_in_refused' });
}
