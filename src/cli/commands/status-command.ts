/** `status`: the session of this machine, and what was granted to it for a while. */
import { AppError } from '../../core/errors.ts';
import { listAccess, openAccess } from '../access/access-api.ts';
import type { RequestItem } from '../access/responses.ts';
import { grantedText, isActive, stateText } from '../access/texts.ts';
import type { CliContext } from '../context.ts';
import { ownSession } from '../http/own-sessions-api.ts';
import { locateEntry } from '../session/cache.ts';
import { renew } from '../session/renewal.ts';
import type { SignedInUser } from '../session/session.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { markFacts, shownMark } from '../session/delegated.ts';
import { factLines, printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { bothWays } from '../terminal/time.ts';

interface Access {
  /** Of this session. */
  readonly granted: readonly RequestItem[];
  readonly open: readonly RequestItem[];
  /** How many requests of others wait for this user. */
  readonly waiting: number;
}

/** Shows what the server says now. */
export async function status(context: CliContext, options: ServerOptions & OutputOptions): Promise<void> {
  const server = whichServer(context.environment, options);
  const entry = locateEntry(context.environment.cacheDir, server);
  const { delegated } = server;
  const { session } =
    delegated === undefined ? await ownSession(context, entry) : await renew(context, entry, { accept: () => false });
  const { user } = session;
  const access = delegated === undefined ? await accessOf(context, options, user) : undefined;
  const { account, username, sessionId: id, sessionExpiresAt: expiresAt } = user;
  const shown = { server: server.url, account, username, session: { id, expiresAt, ...shownMark(server) }, ...access };
  await printResult(context, options, shown, () =>
    factLines([
      ['server', server.url],
      ['username', plainText(username)],
      ['session', `${plainText(id, 80)}, until ${moment(context, expiresAt)}`],
      ...markFacts(server),
      ...accessFacts(context, access),
    ]),
  );
}

/** Returns undefined at a server that has no access requests. */
async function accessOf(context: CliContext, options: ServerOptions, user: SignedInUser): Promise<Access | undefined> {
  try {
    const { mine, queue } = await listAccess(openAccess(context, options));
    return {
      granted: mine.filter((one) => isActive(one) && one.session === user.sessionId),
      open: mine.filter(({ state }) => state === 'open'),
      waiting: queue.filter(({ may }) => may.includes('approve')).length,
    };
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return undefined;
    throw error;
  }
}

function accessFacts(context: CliContext, access: Access | undefined): string[][] {
  if (access === undefined) return [];
  const { granted, open, waiting } = access;
  return [
    ...(granted.length === 0 ? [['granted', 'nothing']] : []),
    ...granted.map((one) => ['granted', `${grantedText(context, one)} (${one.id})`]),
    ...open.map((one) => ['asked for', `${plainText(one.role, 80)}: ${stateText(one)} (${one.id})`]),
    ...(waiting === 0 ? [] : [['waiting', `${waiting} for your approval: portcullis access list`]]),
  ];
}

function moment(context: CliContext, text: string): string {
  const at = Date.parse(text);
  return Number.isNaN(at) || context.columns === undefined ? plainText(text, 40) : bothWays(at, context.nowMs());
}
