import { afterEach, expect, test } from 'vitest';
import type { Identity } from '../../../../src/core/identity/identity.ts';
import { buildUpstreamHeaders, flatHeaders } from '../../../../src/core/http/upstream-headers.ts';
import type { ProviderSignIn, SignInChallenge } from '../../../../src/idp/idp.ts';
import { browserAt, closeStages, openStage, signIn, type StageOptions } from '../harness.ts';
import { users, TestProvider } from '../test-provider.ts';

afterEach(closeStages);

const decoded = (text: string): string =>
  text
    .replaceAll(/&#(\d+);/g, (_all, code: string) => String.fromCodePoint(Number(code)))
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');

async function headersFor(who: string, options: StageOptions = {}) {
  const stage = await openStage(options);
  const browser = browserAt(stage);
  await signIn(browser, who);
  const { text } = await browser.get('/me').expect(200);
  const card = /<section class="card" aria-labelledby="impersonation">[\s\S]*?<\/section>/.exec(text)?.[0] ?? '';
  const [session] = (await stage.store.sessions.list({ account: `corp/sub-${who}`, limit: 1 })).sessions;
  return {
    card,
    session: session?.id ?? '',
    lines: [...card.matchAll(/<dt><code>([\s\S]*?)<\/code><\/dt>/g)].map(([, line = '']) => decoded(line)),
    headings: [...card.matchAll(/<h3>(.*?)<\/h3>/g)].map(([, heading]) => heading),
  };
}

/** As the data plane builds them for a request of this session. */
function sentFor(identity: Identity, sessionId: string): readonly string[] {
  const headers = flatHeaders(
    buildUpstreamHeaders({
      raw: [],
      belowProxy: false,
      upgrade: false,
      upstreamToken: 'token',
      identity,
      sessionId,
      auditId: 'id',
      forwardedFor: '203.0.113.7',
    }),
  );
  return headers
    .flatMap((name, index) =>
      index % 2 === 0 ? [`${name}: ${Buffer.from(headers[index + 1] ?? '', 'latin1').toString()}`] : [],
    )
    .filter((line) => line.startsWith('Impersonate-'));
}

const curious: Identity = {
  username: 'corp:jürgen <b>&"@example.com',
  uid: 'corp/sub-alice',
  groups: ['corp:developers', 'corp:größe'],
  extra: { 'example.com/cost-centre': ['4711', 'ä'] },
};

class CuriousProvider extends TestProvider {
  override async finish(callback: URL, challenge: SignInChallenge): Promise<ProviderSignIn> {
    return { ...(await super.finish(callback, challenge)), identity: curious };
  }
}

const cluster = (name: string, groups: '*' | readonly string[], extra: readonly string[] = []) => ({
  name,
  hosts: [],
  publicUrl: `https://${name}.example.com`,
  server: 'https://127.0.0.1:1',
  tokenFile: '/nowhere',
  allow: 'true',
  impersonate: { groups, extra, constrained: 'off' as const },
  serviceAccountPassthrough: false,
});

test('shows the very headers that the data plane sends, each with what it means', async () => {
  const alice = users['alice'];
  if (alice === undefined) throw new Error('there is no user alice');
  const { lines, session, card } = await headersFor('alice');
  expect(lines).toEqual(sentFor(alice.identity, session));
  expect(card.match(/<dd>/g)).toHaveLength(4);
});

test('shows names of any script and any sign as what they are', async () => {
  const clusters = [cluster('a', '*', ['example.com/cost-centre'])];
  const { lines, session } = await headersFor('alice', {
    providers: [new CuriousProvider('corp')],
    config: { clusters },
  });
  expect(lines).toEqual(sentFor(curious, session));
  expect(lines).toContain('Impersonate-Extra-example.com%2Fcost-centre: ä');
});

test('groups clusters by the headers that they receive', async () => {
  const clusters = [cluster('a', '*'), cluster('b', []), cluster('c', '*')];
  const { lines, headings } = await headersFor('alice', { config: { clusters } });
  expect(headings).toEqual(['a, c', 'b']);
  expect(lines.filter((line) => line === 'Impersonate-Group: corp:developers')).toHaveLength(1);
  expect(lines.filter((line) => line.startsWith('Impersonate-User'))).toHaveLength(2);
});

test('shows nothing where the user has access to no cluster', async () => {
  const { lines, card } = await headersFor('alice', { config: { clusters: [] } });
  expect(lines).toEqual([]);
  expect(card).toContain('so none receives any');
});
