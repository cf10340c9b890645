/** A workload in place of a person: its own token, from a file, is what it shows instead of signing in (RFC 8693). */
import { readFileSync } from 'node:fs';
import type { AppError, ErrorCode } from '../../core/errors.ts';
import { fault } from '../errors.ts';
import { isTokenText } from '../session/session.ts';

/** The same fault with another next step: a workload cannot sign in at a browser. */
export function withNext(error: AppError, next: string, code: ErrorCode = error.code): AppError {
  const [what] = error.message.split('\n  Next: ');
  return fault(code, what ?? error.message, next, { reason: error.reason, cause: error });
}

/**
 * Kubernetes mounts such a token as a link that it moves, so links are followed here.
 * @throws AppError `bad_request`
 */
export function readSubjectToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw fault('bad_request', `The token file ${path} cannot be read.`, 'check --token-file', { cause });
  }
  if (!isTokenText(text)) throw fault('bad_request', `${path} does not hold one token.`, 'check --token-file');
  return text;
}
