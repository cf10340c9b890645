/**
 * CLI package: the command line as it is installed on users' machines.
 *
 * Owns: the shell front (portcullis.sh), which serves a cached credential without Node, and the parser of the users'
 * commands. Must not know: anything that runs on a server, so that no package contains it.
 *
 * This file is the full program. The shell front starts it; where there is no shell, it starts by itself.
 */
import { respondFromCache } from '../cli/cli.ts';
import { errorMessage } from '../cli/errors.ts';

const OLDEST_NODE = 24;

async function main(): Promise<void> {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    const next = `install Node ${OLDEST_NODE} or newer, or the portcullis that brings its own`;
    process.stderr.write(`portcullis: Node ${process.versions.node} is too old for this program.\n  Next: ${next}\n`);
    process.exitCode = 1;
    return;
  }
  const args = process.argv.slice(2);
  if (respondFromCache(args)) return;
  const { createUserProgram } = await import('./program.ts');
  const program = await createUserProgram(args[0]);
  await program.parseAsync();
}

// Node would print the line of the script where the error happened, and in the bundle that line is the whole
// program.
main().catch((error: unknown) => {
  process.stderr.write(`portcullis: ${errorMessage(error)}\n`);
  process.exitCode = 1;
});
