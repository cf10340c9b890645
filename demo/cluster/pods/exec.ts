/** pods/exec and pods/attach, once the streams are open. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

import { exited, succeeded } from '../channels/channels.ts';
import type { RemoteChannels } from '../channels/channels.ts';
import type { FileSystem } from '../files/file-system.ts';
import { stringAt } from '../objects/json.ts';
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { Status } from '../objects/status.ts';
import { Input } from '../shell/input.ts';
import type { Process } from '../shell/process.ts';
import { programExists, runCommand } from '../shell/shell.ts';
import { createTerminal } from '../shell/terminal.ts';
import { environmentOf } from './containers.ts';
import { followLog, logLines } from './log-source.ts';

export interface Session {
  readonly pod: KubeObject;
  readonly container: JsonObject;
  readonly files: FileSystem;
  readonly tty: boolean;
  readonly now: () => Date;
}

/** Waits while the reader is behind, but not for one that has gone. */
async function write(stream: Writable | undefined, text: string | Buffer, closed: AbortSignal): Promise<void> {
  if (stream === undefined || stream.destroyed || closed.aborted || stream.write(text)) return;
  try {
    await once(stream, 'drain', { signal: closed });
  } catch {
    // The other end has gone: `closed` resolves for every waiter.
  }
}

function processOf(session: Session, channels: RemoteChannels): Process {
  const { closed, stdout, stderr } = channels;
  const foreground: Process['foreground'] = { interrupt: undefined };
  const terminal =
    session.tty && stdout !== undefined
      ? createTerminal(channels.stdin, stdout, () => foreground.interrupt?.())
      : undefined;
  const display = (text: string | Buffer): string | Buffer =>
    terminal === undefined ? text : terminal.onScreen(text.toString());
  return {
    input: new Input(terminal?.input ?? channels.stdin),
    env: environmentOf(session.pod, session.container),
    files: session.files,
    hostname: session.pod.metadata.name ?? '',
    interactive: session.tty,
    now: session.now,
    out: (text) => write(stdout, display(text), closed),
    err: (text) => write(terminal === undefined ? stderr : stdout, display(text), closed),
    closed,
    foreground,
  };
}

const failed = (why: string): Status => ({
  ...succeeded(),
  status: 'Failure',
  reason: 'InternalError',
  message: `Internal error occurred: error executing command in container: ${why}`,
  code: 500,
});

async function outcome(session: Session, command: readonly string[], channels: RemoteChannels): Promise<Status> {
  const program = command[0] ?? '';
  if (!programExists(program)) {
    return failed(`exec: ${JSON.stringify(program)}: executable file not found in $PATH: unknown`);
  }
  try {
    return exited(await runCommand(command, processOf(session, channels)));
  } catch {
    // A script nested so deeply that the stack ran out, say. It must not take the cluster with it.
    return failed('the demo shell gave up');
  }
}

/** Runs the command and reports its exit code; never rejects. */
export async function exec(session: Session, command: readonly string[], channels: RemoteChannels): Promise<void> {
  await channels.finish(await outcome(session, command, channels));
}

/** Shows what the container's main process says from now on. It reads nothing, so what is typed is dropped. */
export function attach(session: Session, channels: RemoteChannels): void {
  if (channels.closed.aborted) return;
  const name = stringAt(session.container, 'name');
  const { first, lines } = logLines(session.pod, name, session.now());
  channels.stdin?.resume();
  const end = session.tty ? '\r\n' : '\n';
  const from = { next: first + lines.length, now: session.now };
  const stop = followLog(session.pod, name, from, (line) => {
    channels.stdout?.write(line.text + end);
  });
  channels.closed.addEventListener('abort', stop, { once: true });
}
