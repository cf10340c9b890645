/**
 * Opening the person's browser, without a shell.
 */
import { spawn } from 'node:child_process';
import type { Environment } from './environment.ts';
import { fault } from './fault.ts';
import { isOpenable } from './server-url.ts';

export interface BrowserCommand {
  readonly file: string;
  readonly args: readonly string[];
}

/** xdg-open(1): 3 a tool is missing, 4 the action failed. Other programs end as they like after the tab is open. */
const NOT_OPENED = new Set([3, 4, 126, 127]);

/**
 * What to run. `$BROWSER` is split at blanks; `%s` is replaced by the address, which else comes last.
 * @throws AppError `forbidden` unless the address is https, or http on loopback: `file:` and other schemes start programs
 */
export function browserCommand(url: URL, environment: Pick<Environment, 'browser' | 'platform'>): BrowserCommand {
  if (!isOpenable(url)) throw fault('forbidden', 'The server named an address that is not opened: it is not https.');
  const [file, ...args] = environment.browser?.split(/\s+/) ?? [];
  if (file !== undefined) {
    const filled = args.map((arg) => arg.replaceAll('%s', () => url.href));
    return { file, args: args.some((arg) => arg.includes('%s')) ? filled : [...args, url.href] };
  }
  if (environment.platform === 'darwin') return { file: 'open', args: [url.href] };
  if (environment.platform === 'win32') return { file: 'rundll32', args: ['url.dll,FileProtocolHandler', url.href] };
  return { file: 'xdg-open', args: [url.href] };
}

/**
 * Starts it and does not wait for its end.
 * @param onFailure called once if it turns out that nothing was opened
 */
export function openBrowser(command: BrowserCommand, onFailure: (why: string) => void): void {
  // stdout is kubectl's: a browser that chats must not reach it. Detached, so that it outlives kubectl and its Ctrl-C.
  const child = spawn(command.file, command.args, { stdio: 'ignore', detached: true, shell: false });
  child.once('error', () => onFailure(`${command.file} cannot be started`));
  child.once('exit', (code) => {
    if (code !== null && NOT_OPENED.has(code)) onFailure(`${command.file} found no browser`);
  });
  child.unref();
}
