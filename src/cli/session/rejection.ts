/** Parses a rejection (`error_description`, RFC 6749 §4.1.2.1) into its parts, for terminal and page. */
import type { AppError } from '../../core/errors.ts';
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';

/** Longer than the longest rule with its contact: the request id is at the end. */
const LONGEST = 2000;

interface Rejection {
  readonly what: string;
  /** The contact and the request id, each with its name. Empty where the server gives only the reason. */
  readonly facts: readonly string[];
}

/** @param description untrusted text of a server */
export function parseRejection(description: string): Rejection {
  const text = plainText(description, LONGEST);
  const parts = /^(.+) (Whom to ask: .+) (Request id: [\w.-]{1,128})$/.exec(text);
  if (parts === null) return { what: text, facts: [] };
  const [, what = '', ...facts] = parts;
  return { what, facts };
}

/**
 * @param description untrusted text of a server
 * @param otherwise the message where the server gives no details
 * @param command to try again
 */
export function rejectionError(description: string, otherwise: string, command: string): AppError {
  const { what, facts } = parseRejection(description);
  const full = facts.length > 0;
  const message = full ? [`The sign-in was refused: ${what}`, ...facts].join('\n  ') : otherwise;
  // A step-up is for the account of its session, and no other one will do.
  const again = command.startsWith('portcullis step-up') ? 'try again' : 'use another account';
  const next = full ? `ask there and give the request id, or ${again}: ${command}` : command;
  return cliError('sign_in_refused', message, next, { reason: 'sign_in_refused' });
}
