/** A recording of util-linux' `script`: what a terminal was sent, and when. */

export interface Frame {
  /** Seconds since the start. */
  readonly at: number;
  /** What was added then, with newlines. */
  readonly text: string;
}

/** Everything but text and line ends: a terminal would move its cursor or change its colours, which the picture does not follow. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[^\P{Cc}\n]/u;

/**
 * Reads a recording in the classic format: a line about the recording, then the output; and a line `SECONDS BYTES` for each piece of it.
 * @throws Error for output with control sequences
 */
export function readRecording(output: Buffer, timing: string): readonly Frame[] {
  const decoder = new TextDecoder();
  const frames: Frame[] = [];
  let position = output.indexOf('\n') + 1;
  let at = 0;
  for (const line of timing.trim().split('\n')) {
    const [delay = 0, bytes = 0] = line.split(' ').map(Number);
    at += delay;
    const text = decoder.decode(output.subarray(position, position + bytes), { stream: true }).replaceAll('\r\n', '\n');
    if (CONTROL.test(text)) throw new Error(`the tour sent a control sequence: ${JSON.stringify(text)}`);
    position += bytes;
    frames.push({ at, text });
  }
  return frames;
}
