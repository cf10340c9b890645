/**
 * A spinner on a terminal while the program waits. It shows nothing where stderr is a file, a pipe or a terminal
 * that cannot rewrite a line: there every turn would add a line to a log.
 */
import type { WriteStream } from 'node:tty';

const FRAMES = ['|', '/', '-', '\\'];
const TURN_MS = 120;
/** Returns to the first column and erases to the end of the line (ECMA-48 EL). */
const ERASE = '\r\u001b[K';

type Terminal = Pick<WriteStream, 'write'> & Partial<Pick<WriteStream, 'isTTY' | 'getColorDepth'>>;

export interface Spinner {
  /** Spins next to `message` until the result is called. */
  start(message: string): () => void;
  /** Writes whole lines, and erases the spinner before them. */
  write(lines: string): void;
}

export function createSpinner(terminal: Terminal): Spinner {
  // One colour: TERM=dumb and similar.
  const able = terminal.isTTY === true && (terminal.getColorDepth?.() ?? 1) > 1;
  let turn = 0;
  let shown: string | undefined;
  const draw = (): void => {
    if (shown !== undefined) terminal.write(`${ERASE}${FRAMES[(turn += 1) % FRAMES.length]} ${shown}`);
  };
  return {
    start(message) {
      if (!able) return () => undefined;
      shown = message;
      // The spinner must not keep the process alive.
      const timer = setInterval(draw, TURN_MS).unref();
      draw();
      return () => {
        clearInterval(timer);
        if (shown !== undefined) terminal.write(ERASE);
        shown = undefined;
      };
    },
    write(lines) {
      terminal.write(shown === undefined ? lines : `${ERASE}${lines}`);
      draw();
    },
  };
}
