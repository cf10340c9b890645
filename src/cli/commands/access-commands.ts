/** `access list`, `show`, `approve`, `deny` and `end`. */
import { accessEndedSchema } from '../../core/api/access.ts';
import { revocationResultSchema } from '../../core/api/responses.ts';
import { findRequest, linkOf, listAccess, openAccess, sendAccess, type AccessApi } from '../access/access-api.ts';
import { requestSchema, type RequestItem } from '../access/responses.ts';
import {
  approvalsText,
  grantedText,
  isActive,
  requestFacts,
  requestTable,
  roleTable,
  stateText,
} from '../access/texts.ts';
import { cliError, notProven } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { readSession } from '../session/cache.ts';
import type { ServerOptions } from '../session/which-server.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { listTables } from '../terminal/list-table.ts';
import { describeReceipt } from '../terminal/receipt.ts';
import { parseResponse } from './admin-response.ts';
import { replicaLines } from './revocation-progress.ts';
import { defined } from '../../core/defined.ts';

interface AccessOptions extends ServerOptions, OutputOptions {
  readonly reason?: string;
}

interface ListOptions extends AccessOptions {
  /** Requests that are over, too. */
  readonly all?: true;
}

interface ApproveOptions extends AccessOptions {
  /** Asks for no confirmation. */
  readonly yes?: true;
}

/** Shows what the user may ask for, what they have and have asked for, and what waits for them. */
export async function accessList(context: CliContext, options: ListOptions): Promise<void> {
  const api = openAccess(context, options);
  const found = await listAccess(api);
  const { roles, queue } = found;
  const here = readSession(api.entry)?.user.sessionId;
  const mine = found.mine.filter((one) => options.all === true || one.state === 'open' || isActive(one));
  await printResult(context, options, found, () =>
    listTables(
      context,
      options,
      [
        { title: 'You may ask for:', ...roleTable(roles) },
        { title: 'You have, or have asked for:', ...requestTable(context, options, mine, { mine: here }) },
        { title: 'You decide about:', ...requestTable(context, options, queue, 'queue') },
      ].filter(({ rows }) => rows.length > 0),
    ),
  );
  if (roles.length > 0 || mine.length > 0 || queue.length > 0) return;
  context.notify('there is nothing that you may ask for, and nothing waits for you');
}

export async function accessShow(context: CliContext, id: string, options: AccessOptions): Promise<void> {
  const api = openAccess(context, options);
  const request = await findRequest(api, id);
  await printResult(context, options, request, () => requestFacts(context, request, linkOf(api, request.id)));
}

/**
 * Approves after showing what that gives, and to whom.
 * @throws AppError `bad_request` without a terminal and without `--yes`; `conflict` where the answer is not yes, and for a
 *   request that is decided already
 */
export async function accessApprove(context: CliContext, id: string, options: ApproveOptions): Promise<void> {
  const api = openAccess(context, options);
  const request = await findRequest(api, id);
  assertOpen(request);
  context.notify(`to approve:\n${requestFacts(context, request, linkOf(api, request.id)).trimEnd()}`);
  await confirm(context, request, options);
  const approved = await decide(api, request, 'approve', options);
  await printResult(context, options, approved, () =>
    isActive(approved)
      ? `approved: ${plainText(approved.user)} has ${grantedText(context, approved)}\n`
      : `approved: ${approvalsText(approved)}\n`,
  );
}

export async function accessDeny(context: CliContext, id: string, options: AccessOptions): Promise<void> {
  const api = openAccess(context, options);
  const request = await findRequest(api, id);
  assertOpen(request);
  const denied = await decide(api, request, 'deny', options);
  const { role, user } = denied;
  await printResult(context, options, denied, () => `denied: ${plainText(role, 80)} for ${plainText(user)}\n`);
}

/**
 * Ends what was granted, and shows the receipt; withdraws what is still open.
 * @throws AppError `conflict` when the end is written but not proven: a script must not take that for done
 */
export async function accessEnd(context: CliContext, id: string, options: AccessOptions): Promise<void> {
  const api = openAccess(context, options);
  const request = await findRequest(api, id);
  const query = options.reason === undefined ? {} : { query: { reason: options.reason } };
  const { body } = await sendAccess(api, 'endAccess', { params: { id: request.id }, ...query });
  const role = plainText(request.role, 80);
  if (accessEndedSchema.safeParse(body).success) {
    return printResult(context, options, body, () => `withdrawn: the request for ${role}\n`);
  }
  const receipt = parseResponse(revocationResultSchema, body);
  if (!receipt.complete) replicaLines(context)(receipt);
  await printResult(context, options, receipt, () => describeReceipt(receipt, context.columns, `${role} ended`));
  if (receipt.complete) return;
  const next = `a missing replica rejects every request once its lease has lapsed; portcullis access show ${request.id}`;
  throw notProven(receipt.missing ?? [], next);
}

async function decide(
  api: AccessApi,
  { id }: RequestItem,
  decision: 'approve' | 'deny',
  { reason }: AccessOptions,
): Promise<RequestItem> {
  const json = defined({ reason });
  const name = decision === 'approve' ? 'approveAccess' : 'denyAccess';
  return parseResponse(requestSchema, (await sendAccess(api, name, { params: { id }, json })).body);
}

function assertOpen(request: RequestItem): void {
  if (request.state === 'open') return;
  const next = `portcullis access show ${request.id}`;
  throw cliError('conflict', `This is decided already: ${stateText(request)}.`, next, { reason: 'request_decided' });
}

async function confirm(context: CliContext, request: RequestItem, { yes }: ApproveOptions): Promise<void> {
  if (yes === true) return;
  if (context.ask === undefined) {
    throw cliError(
      'bad_request',
      'Nothing was approved: there is no terminal to ask.',
      'read the above, and add --yes',
    );
  }
  if ((await context.ask(`Type yes to give this to ${plainText(request.user, 200)}: `)) === 'yes') return;
  throw cliError('conflict', 'Nothing was approved.', 'type yes, or add --yes', { reason: 'not_confirmed' });
}
