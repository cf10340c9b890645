/** Writes a command's result to stdout, also where the reader closes it. */

let received = false;

/** Not before the first text: opening stdout takes time. */
export function writeStdout(text: string): void {
  if (!received) process.stdout.on('error', onError);
  received = true;
  process.stdout.write(text);
}

/** A reader that has seen enough, such as `head`, is no error: the command's work and its exit status stay. */
function onError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`portcullis: The result cannot be written (${error.code ?? 'unknown'}).\n`);
  process.exitCode = 1;
}
