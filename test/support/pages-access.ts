/** Access requests in each state, for the pages: what alice asked for at a terminal, and root decided. */
import type { OAuthClient } from './oauth-client.ts';

/** As settings of the file. */
export const ACCESS_ROLES = [
  {
    name: 'shop-admins',
    description: 'Repairs in the shop',
    groups: ['granted:shop-admins'],
    clusters: ['demo'],
    requesters: ['demo:developers', 'demo:admins'],
    approval: { groups: ['demo:admins'], count: 1 },
    longest: '4h',
    reason: 'INC-[0-9]+.*',
  },
  {
    name: 'break-glass',
    description: 'w'.repeat(200),
    groups: ['granted:cluster-admins', `granted:${'g'.repeat(120)}`],
    requesters: ['demo:developers'],
    approval: 'none',
    longest: '1h',
  },
  {
    name: 'db-readers',
    description: 'Read the secrets of the databases',
    groups: ['granted:db-readers'],
    requesters: ['demo:developers'],
    approval: { groups: ['demo:admins', 'demo:auditors'], count: 1 },
    longest: '24h',
  },
];

/** As long as a reason may be: markup, another direction of writing, and a word without a place to break it. */
const HARD_REASON = `INC-4711 <script>document.title = 'ran'</script> يحتاج إلى إصلاح ${'w'.repeat(420)}`;

/** Ids of requests. */
export interface PagesAccess {
  readonly open: string;
  readonly granted: string;
  readonly ended: string;
}

/** A client with a token for its user's own sessions. */
interface Caller {
  readonly client: OAuthClient;
  readonly accessToken: string;
}

async function call({ client, accessToken }: Caller, method: 'POST' | 'DELETE', path: string, body: object = {}) {
  const answer = await client.send(method, `/-/access${path}`, {
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
  });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const ask = async (caller: Caller, role: string, reason: string): Promise<string> =>
  String((await call(caller, 'POST', '', { role, seconds: 1800, reason }))['id']);

/** @param alice at a terminal @param root an approver */
export async function openAccess(alice: Caller, root: Caller): Promise<PagesAccess> {
  const ended = await ask(alice, 'break-glass', 'INC-4690');
  await call(alice, 'DELETE', `/${ended}`);
  const granted = await ask(alice, 'db-readers', 'quarterly report');
  await call(root, 'POST', `/${granted}/approve`, { reason: 'only until noon' });
  return { open: await ask(alice, 'shop-admins', HARD_REASON), granted, ended };
}
