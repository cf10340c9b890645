/** Starts this very program again, for work that must not be done in this process. */
import { isSea } from 'node:sea';

/** Returns file and arguments; the single executable is the program itself, and otherwise Node runs it. */
export function commandOfThisProgram(args: readonly string[]): readonly [file: string, args: readonly string[]] {
  const program = isSea() ? [] : [...process.execArgv, process.argv[1] ?? ''];
  return [process.execPath, [...program, ...args]];
}
