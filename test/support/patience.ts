/**
 * Set up before each test file: `vi.waitFor` and `vi.waitUntil` wait as long as `expect.poll` does (vitest.config.ts), unless they are told
 * otherwise. Their own default is a second, which a machine under load takes for a step that comes immediately on an idle one.
 */
import { vi } from 'vitest';

const PATIENCE_MS = 20_000;

type Options = number | { readonly timeout?: number; readonly interval?: number } | undefined;

const patiently = (options: Options) =>
  typeof options === 'number' ? { timeout: options } : { timeout: PATIENCE_MS, ...options };

const PATIENT = Symbol.for('portcullis.patient');

// Files of one process share `vi`.
if (!(PATIENT in vi)) {
  const { waitFor, waitUntil } = vi;
  vi.waitFor = (callback, options) => waitFor(callback, patiently(options));
  vi.waitUntil = (callback, options) => waitUntil(callback, patiently(options));
  Object.assign(vi, { [PATIENT]: true });
}
