/** What a program in a container sees of the world. */
import type { FileSystem } from '../files/file-system.ts';
import type { Input } from './input.ts';

export interface Process {
  readonly input: Input;
  readonly env: ReadonlyMap<string, string>;
  readonly files: FileSystem;
  readonly hostname: string;
  /** Standard input is a terminal. */
  readonly interactive: boolean;
  readonly now: () => Date;
  /** Resolves when more can be written. */
  out(text: string | Buffer): Promise<void>;
  err(text: string | Buffer): Promise<void>;
  /** Aborted when the caller has gone: everything ends. */
  readonly closed: AbortSignal;
  /** What ^C stops now; anyone who runs in front sets it. */
  readonly foreground: { interrupt: (() => void) | undefined };
}

/** Exit code of what was stopped by ^C. */
export const INTERRUPTED = 130;
export const NOT_FOUND = 127;
