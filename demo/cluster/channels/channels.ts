/** The streams of an exec or attach, however they came over the wire. */
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

import type { Status } from '../objects/status.ts';

/** Which streams the caller asked for (PodExecOptions, PodAttachOptions). */
export interface StreamOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface RemoteChannels {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** Aborted when the other end has gone. */
  readonly closed: AbortSignal;
  /** Lets out everything that is queued, then sends the outcome on the error channel, and closes. Never rejects. */
  finish(status: Status): Promise<void>;
}

/**
 * Ends the outputs and waits until all they held is on its way. A client stops reading at the outcome, so the outcome must
 * come last. An output whose connection has gone counts as ended.
 */
export async function endOutputs(outputs: readonly (Writable | undefined)[]): Promise<void> {
  const open = outputs.filter((output) => output !== undefined);
  await Promise.allSettled(open.map((output) => finished(output.end(), { readable: false })));
}

const isTrue = (value: string | null): boolean => value !== null && value !== '0' && value.toLowerCase() !== 'false';

export const streamOptions = (query: URLSearchParams): StreamOptions => ({
  stdin: isTrue(query.get('stdin')),
  stdout: isTrue(query.get('stdout')),
  // A terminal has one screen: with a TTY there is no stderr.
  stderr: isTrue(query.get('stderr')) && !isTrue(query.get('tty')),
  tty: isTrue(query.get('tty')),
});

export const succeeded = (): Status => ({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' });

/** How a client learns the exit code of a command (`v4.channel.k8s.io` and later). */
export const exited = (code: number): Status =>
  code === 0
    ? succeeded()
    : {
        ...succeeded(),
        status: 'Failure',
        reason: 'NonZeroExitCode',
        message: `command terminated with non-zero exit code: exit status ${code}`,
        details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
      };
