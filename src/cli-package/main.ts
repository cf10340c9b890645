/**
 * The full program of the laptop's packages: started by the shell front (portcullis.sh), or by itself where there is no shell.
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
  if (respondFromCache(process.argv.slice(2))) return;
  const { createUserProgram } = await import('./program.ts');
  await createUserProgram().parseAsync();
}

// Node would show the line of the script where it happened, and that line is the program.
main().catch((error: unknown) => {
  process.stderr.write(`portcullis: ${errorMessage(error)}\n`);
  process.exitCode = 1;
});
