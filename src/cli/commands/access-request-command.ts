/** `access request`: asks for a role for a while, and waits until it is decided. */
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { SHORTEST_SECONDS } from '../../core/access/role.ts';
import { AppError } from '../../core/errors.ts';
import { nearest } from '../../core/nearest.ts';
import { linkOf, listAccess, openAccess, readRequest, sendAccess, type AccessApi } from '../access/access-api.ts';
import { requestSchema, type RequestItem, type RoleItem } from '../access/responses.ts';
import { approvalsText, grantedText, isActive, lapseText, quoted, stateText } from '../access/texts.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import type { ServerOptions } from '../session/which-server.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { parseDuration, spanText } from '../terminal/time.ts';
import { parseResponse } from './admin-response.ts';

interface RequestOptions extends ServerOptions, OutputOptions {
  readonly for?: string;
  readonly reason?: string;
  readonly wait: boolean;
}

/** How long a role is asked for where the user does not say. */
const USUAL_SECONDS = 3600;
/** Seconds for which the server keeps a poll, until the state changes. */
const WAIT_SECONDS = 25;
/** Between two polls where no server responds. */
const PAUSE_MS = 2000;

/**
 * Asks for a role. Waits until it is granted, denied, withdrawn or expired.
 * @throws AppError `not_found` for a role that the user may not ask for, `forbidden` where it is denied, `conflict` where it
 *   has ended otherwise
 */
export async function requestAccess(context: CliContext, role: string, options: RequestOptions): Promise<void> {
  const given = options.for === undefined ? undefined : parseDuration(options.for);
  const api = openAccess(context, options);
  const offered = offeredRole(role, (await listAccess(api)).roles);
  const seconds = given ?? Math.min(USUAL_SECONDS, offered.longestSeconds);
  if (seconds < SHORTEST_SECONDS) {
    throw cliError('bad_request', 'A role is granted for a minute at least.', 'give --for 1m or more');
  }
  if (seconds > offered.longestSeconds) {
    const what = `${plainText(offered.name, 80)} is for ${spanText(offered.longestSeconds)} at most.`;
    throw cliError('bad_request', what, `give --for ${spanText(offered.longestSeconds)} or less`);
  }
  if (options.reason === undefined && offered.reason !== undefined) {
    const what = `${plainText(offered.name, 80)} needs a reason that matches ${plainText(offered.reason, 200)}`;
    throw cliError('bad_request', what, 'give --reason TEXT');
  }
  const json = { role: offered.name, seconds, reason: options.reason ?? '' };
  const response = await sendAccess(api, 'requestAccess', { json, who: 'those who ask for this role' });
  const asked = parseResponse(requestSchema, response.body);
  announce(api, asked, offered);
  if (!options.wait && !isActive(asked)) {
    return printResult(context, options, asked, () => `${linkOf(api, asked.id)}\n`);
  }
  const decided = asked.state === 'open' ? await untilDecided(api, asked) : asked;
  if (!isActive(decided)) throw notGranted(decided);
  await printResult(context, options, decided, () => `granted: ${grantedText(context, decided)}\n`);
  context.notify(`your next request has it; to end it sooner: portcullis access end ${decided.id}`);
}

function offeredRole(name: string, roles: readonly RoleItem[]): RoleItem {
  const found = roles.find((role) => role.name === name);
  if (found !== undefined) return found;
  const names = roles.map((role) => plainText(role.name, 80));
  const like = nearest(name, names);
  const next = like === undefined ? 'portcullis access list shows what you may ask for' : `did you mean ${like}?`;
  const what = `There is no role ${plainText(name, 80)} that you may ask for.`;
  throw cliError('not_found', what, next, { reason: 'role_not_found' });
}

function announce(api: AccessApi, asked: RequestItem, { approvers = [] }: RoleItem): void {
  const { context } = api;
  const { id, role, seconds, needed } = asked;
  if (needed === 0) context.notify('this role needs no approval: its use is break-glass, and is alerted');
  if (asked.state !== 'open') return;
  const of = approvers.length === 0 ? '' : ` of ${plainText(approvers.join(', '), 1000)}`;
  const many = `${needed === 1 ? 'one user' : `${needed} users`}${of}`;
  context.notify(
    `asked for ${plainText(role, 80)} for ${spanText(seconds)}; ${many} must approve it:\n  ${linkOf(api, id)}\n  portcullis access approve ${id}`,
  );
}

/** Ctrl-C ends the command and leaves the request open. */
async function untilDecided(api: AccessApi, asked: RequestItem): Promise<RequestItem> {
  const { context } = api;
  const interrupted = (signal: NodeJS.Signals): void => {
    stopSpinner();
    const again = `portcullis access show ${asked.id}`;
    context.notify(
      `the request stays open, and may still be granted: ${again}\n  Next: to withdraw it: portcullis access end ${asked.id}`,
    );
    process.exit(128 + constants.signals[signal]); // As a shell has it.
  };
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  let stopSpinner = context.showProgress(`waiting for approval: ${approvalsText(asked)}`);
  try {
    let latest = asked;
    while (latest.state === 'open') {
      const read = await poll(api, asked.id);
      if (read === undefined) {
        await delay(PAUSE_MS);
        continue;
      }
      stopSpinner();
      for (const decision of read.decisions.slice(latest.decisions.length)) {
        const what = decision.approved ? 'approved' : 'denied';
        context.notify(`${what} by ${plainText(decision.user)}${quoted(decision.reason)} (${approvalsText(read)})`);
      }
      // It waits for longer than it seemed, so its user asks another colleague.
      read.decisions.forEach(({ user, lapsed }, index) => {
        if (lapsed === undefined || latest.decisions[index]?.lapsed !== undefined) return;
        context.notify(`the approval of ${plainText(user)}${lapseText(lapsed)} (${approvalsText(read)})`);
      });
      latest = read;
      stopSpinner = context.showProgress(`waiting for approval: ${approvalsText(latest)}`);
    }
    return latest;
  } finally {
    stopSpinner();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** Returns undefined where no server responds now, which is no reason to give up. */
async function poll(api: AccessApi, id: string): Promise<RequestItem | undefined> {
  const begun = performance.now();
  try {
    const read = await readRequest(api, id, WAIT_SECONDS);
    // A server that does not wait must not be asked without a pause.
    if (read.state === 'open' && performance.now() - begun < PAUSE_MS) await delay(PAUSE_MS);
    return read;
  } catch (error) {
    if (error instanceof AppError && error.code === 'upstream_unavailable') return undefined;
    throw error;
  }
}

function notGranted(request: RequestItem): AppError {
  const { id, state, decisions } = request;
  const denial = decisions.find(({ approved }) => !approved);
  const what = `This was not granted: ${stateText(request)}${quoted(denial?.reason)}.`;
  const next = state === 'expired' ? 'ask again, and send the link to an approver' : `portcullis access show ${id}`;
  const reason = 'access_not_granted';
  if (state === 'denied') return cliError('forbidden', what, next, { reason });
  return cliError('conflict', what, next, { reason });
}
