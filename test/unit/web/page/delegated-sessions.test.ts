import { describe, expect, test } from 'vitest';
import type { Delegation } from '../../../../src/core/delegation/delegation.ts';
import type { SessionRecord } from '../../../../src/store/store.ts';
import { nested, rightsCard } from '../../../../src/web/page/delegated-sessions.ts';

const RECORD: Omit<SessionRecord, 'id'> = {
  account: 'corp/sub-alice',
  provider: 'corp',
  subject: 'sub-alice',
  client: 'portcullis-cli',
  identity: { username: 'corp:alice', uid: 'corp/sub-alice', groups: [], extra: {} },
  version: 1,
  createdAt: 0,
  lastUsedAt: 0,
  checkedAt: 0,
  expiresAt: 3600,
  idleSeconds: 3600,
  address: '',
  userAgent: '',
  startedAt: { epoch: 'e', number: 1 },
};

/** `b<a` is beneath `a`; `c<a,b` beneath `b`, which is beneath `a`. */
function session(text: string): SessionRecord {
  const [id = '', above] = text.split('<');
  if (above === undefined) return { ...RECORD, id };
  return { ...RECORD, id, delegation: { ancestors: above.split(','), actors: [], clusters: [], limits: [] } };
}

describe('the order of a list', () => {
  test.each([
    ['c<a,b b<a a', 'a b1 c2'],
    ['x d<y b<a y a', 'x y d1 a b1'],
    ['c<a,b a', 'a c1'],
    ['c<a,b b<a', 'b c1'],
    ['a<b b<a c', 'c a b1'],
    ['a<a b<a', 'a b1'],
  ])('%s is shown as %s', (given, shown) => {
    const rows = nested(given.split(' ').map(session));
    expect(rows.map(({ session: { id }, level }) => `${id}${level === 0 ? '' : level}`).join(' ')).toBe(shown);
  });
});

describe('the card of rights', () => {
  const cardOf = (limits: Delegation['limits']): string =>
    rightsCard({ ancestors: ['a'], actors: [{ name: 'claude' }], clusters: [], limits }).toString();

  test('has the limits as they would be in a file of rules, an empty list too', () => {
    const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['pods', 'pods/log'] }, { verbs: [] }];
    const card = cardOf([{ preset: 'read-only', namespaces: ['shop'] }, { rules }]);
    expect(card).toContain('- preset: read-only\n  namespaces: [shop]\n- rules:\n  - verbs: [get]\n');
    expect(card).toContain('apiGroups: [&quot;&quot;]\n    resources: [pods, pods/log]\n  - verbs: []\n');
    expect(card).toMatch(/<details open>\s*<summary>2 limits, 2 rules</);
  });

  test('is closed where there are hundreds of rules, and no text of them is markup', () => {
    const card = cardOf([{ rules: Array.from({ length: 300 }, () => ({ verbs: ['</pre><script>'] })) }]);
    expect(card).toMatch(/<details >\s*<summary>1 limit, 300 rules</);
    expect(card).not.toContain('<script');
    expect(card).toContain('&lt;script&gt;');
  });
});
