/** Opens the user's browser, without a shell. */
import { spawn } from 'node:child_process';
import { win32 } from 'node:path';
import type { CliContext } from '../context.ts';
import type { Environment } from '../environment.ts';
import { cliError } from '../errors.ts';
import { isOpenable } from '../http/server-url.ts';

export interface BrowserCommand {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * xdg-open(1): 3 a tool is missing, 4 the action failed. Other programs may exit with any code after the tab is
 * open.
 */
const NOT_OPENED = new Set([3, 4, 126, 127]);

/** By then a browser that cannot be opened has reported that. */
const ADDRESS_AFTER_MS = 3000;

/**
 * Returns the commands to try, each where the one before it is missing. `$BROWSER` is a list separated by colons
 * (semicolons on Windows), as xdg-open(1) reads it; each entry is split at blanks; the address replaces `%s`, or
 * comes last.
 * @throws AppError `forbidden` unless the address is https, or http on loopback: `file:` and other schemes start
 *   programs
 */
export function browserCommands(
  url: URL,
  environment: Pick<Environment, 'browser' | 'platform' | 'wsl' | 'systemRoot'>,
): readonly BrowserCommand[] {
  if (!isOpenable(url)) {
    const next = 'check the address of the server with your platform team before you sign in anywhere';
    throw cliError('forbidden', 'The server named an address that must not be opened: it is not https.', next);
  }
  const { browser, platform } = environment;
  const configured = (browser ?? '')
    .split(platform === 'win32' ? ';' : ':')
    .flatMap((command) => configuredCommand(command, url));
  if (configured.length > 0) return configured;
  if (platform === 'darwin') return [{ file: 'open', args: [url.href] }];
  // Not `cmd /c start` or PowerShell: both would interpret the address as code.
  const byWindows = { args: ['url.dll,FileProtocolHandler', url.href] };
  // By its full path: Windows looks for a bare name in the current folder first, where an attacker may have put a program
  // of that name, in a repository for example.
  const { systemRoot = '' } = environment;
  if (platform === 'win32') return [{ file: win32.join(systemRoot, 'System32', 'rundll32.exe'), ...byWindows }];
  const byDesktop = { file: 'xdg-open', args: [url.href] };
  if (!environment.wsl) return [byDesktop];
  return [{ file: 'wslview', args: [url.href] }, { file: 'rundll32.exe', ...byWindows }, byDesktop];
}

function configuredCommand(command: string, url: URL): readonly BrowserCommand[] {
  const [file, ...args] = command.trim().split(/\s+/);
  if (file === undefined || file === '') return [];
  const filled = args.map((arg) => arg.replaceAll('%s', () => url.href));
  return [{ file, args: args.some((arg) => arg.includes('%s')) ? filled : [...args, url.href] }];
}

/**
 * Starts the first command that can be started, and does not wait for its end.
 * @param onFailure called once if it turns out that nothing was opened
 */
export function openBrowser([command, ...others]: readonly BrowserCommand[], onFailure: (why: string) => void): void {
  if (command === undefined) return onFailure('none is set');
  // stdout belongs to kubectl, so a browser must not write to it. Detached, so that it outlives kubectl and its
  // Ctrl-C.
  const child = spawn(command.file, command.args, { stdio: 'ignore', detached: true, shell: false });
  const failed = (why: string): void => (others.length > 0 ? openBrowser(others, onFailure) : onFailure(why));
  child.once('error', () => failed(`${command.file} cannot be started`));
  child.once('exit', (code) => {
    if (code !== null && NOT_OPENED.has(code)) failed(`${command.file} found no browser`);
  });
  child.unref();
}

/**
 * Opens the browser and shows the address. Where no user reads that, a browser that cannot be opened ends the command,
 * and the address would lead nowhere, so it is shown only once that has not happened.
 * @param page.purpose for the message: `to …`
 * @param page.attended a user reads the messages, and can open the address
 * @param onFailure called once where no browser was opened and no user is there
 * @returns a function that stops what is left of it
 */
export function showPage(
  context: CliContext,
  { url, purpose, attended }: { readonly url: URL; readonly purpose: string; readonly attended: boolean },
  onFailure: (why: string) => void,
): () => void {
  const opening = `opening your browser ${purpose}`;
  const address = `if nothing opens, go to:\n  ${url.href}`;
  context.notify(attended ? `${opening}; ${address}` : opening);
  const later = attended ? undefined : setTimeout(() => context.notify(address), ADDRESS_AFTER_MS);
  const stop = (): void => clearTimeout(later);
  openBrowser(browserCommands(url, context.environment), (why) => {
    stop();
    if (attended) return context.notify(`no browser opened (${why}): open the address above manually`);
    onFailure(why);
  });
  return stop;
}
