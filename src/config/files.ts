/** Secrets are in files, never in the configuration or the environment, and a file may be replaced at any time. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';

const MAX_BYTES = 64 * 1024;

/**
 * Reads a secret. One trailing newline comes from an editor and is removed; anything else is part of the secret.
 * @throws Error with a `code` of the file system, or without one where the file is empty or larger than 64 KiB;
 *   never with the content
 */
export function readSecretFile(path: string): string {
  const descriptor = openSync(path, 'r');
  try {
    if (fstatSync(descriptor).size > MAX_BYTES) throw new Error(`${path} is larger than 64 KiB`);
    return secretIn(path, readFileSync(descriptor, 'utf8'));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Returns the secret in a file's text, as `readSecretFile` does.
 * @throws Error where there is none; never with the content
 */
export function secretIn(path: string, text: string): string {
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw new Error(`${path} is empty`);
  return secret;
}
