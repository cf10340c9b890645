/**
 * What a command gets from the machine it runs on: built once a run, passed down, and real in tests too.
 */
import { readEnvironment, type Environment } from './environment.ts';
import { parentProcess, type ParentId } from './parent-process.ts';

export interface Laptop {
  readonly environment: Environment;
  /** The program that asks. */
  readonly parent: ParentId;
  /** Epoch milliseconds at which this process began. */
  readonly startedAt: number;
  /** Epoch milliseconds. */
  now(): number;
  /** To stdout: the command's result and nothing else. */
  print(text: string): void;
  /** To stderr, for people. Never a token. */
  say(words: string): void;
  /** To stderr with `--verbose` only. Never a token either. */
  detail(words: string): void;
}

export function thisLaptop(options: { readonly verbose?: boolean } = {}): Laptop {
  const say = (words: string): void => {
    process.stderr.write(`portcullis: ${words}\n`);
  };
  return {
    environment: readEnvironment(),
    parent: parentProcess(),
    startedAt: performance.timeOrigin,
    now: () => Date.now(),
    print: (text) => {
      process.stdout.write(text);
    },
    say,
    detail: options.verbose === true ? say : () => undefined,
  };
}
