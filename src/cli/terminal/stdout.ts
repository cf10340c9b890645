/** A command's result to stdout, whatever becomes of who reads it. */

let received = false;

/** Not before the first word: opening stdout takes time. */
export function writeStdout(text: string): void {
  if (!received) process.stdout.on('error', onError);
  received = true;
  process.stdout.write(text);
}

/** A reader that has seen enough, as `head` has, is no fault: what the command has done stays done, and so does its exit status. */
function onError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`portcullis: The result cannot be written (${error.code ?? 'unknown'}).\n`);
  process.exitCode = 1;
}
