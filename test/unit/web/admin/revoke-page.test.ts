/** A revocation on the pages: its scope, one revocation however often it is sent, and the receipt. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import type { AuditHistory } from '../../../../src/audit/audit.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import type { RevocationResult } from '../../../../src/revocation/revocation.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import { anEvent, range } from '../../audit/fixtures.ts';
import { LateProof } from '../admin-at.ts';
import {
  annotation,
  browserAt,
  closeStages,
  locationOf,
  openStage,
  openSession,
  signedInAs,
  signIn,
} from '../harness.ts';
import { revokedBy, sendRevocation } from './admin-pages-at.ts';

afterEach(closeStages);

const ALICE = { kind: 'account', value: 'corp/sub-alice' } as const;

describe('the confirmation page', () => {
  test('shows the sessions and their users, and what is open on this replica', async () => {
    const at = await signedInAs('root');
    const { guard } = at.stage;
    for (const id of ['alice-1', 'alice-2']) await openSession(at.stage, id, 'alice');
    await openSession(at.stage, 'brief-1', 'brief');
    const parts = { account: 'corp/sub-alice', provider: 'corp' } as const;
    const keys = coveringKeys({ ...parts, session: 'alice-1' });
    const registration = guard.register({ cut: () => {} });
    registration.bind(
      { ...parts, keys, session: 'alice-1', position: guard.position ?? { epoch: '', number: 0 } },
      { expiresAt: at.stage.clock.nowMs(), idleAt: at.stage.clock.nowMs() },
    );
    const { text } = await at.browser.get('/admin/revoke?kind=account&value=corp%2Fsub-alice').expect(200);
    registration.close();
    expect(text).toContain('<strong>2 sessions</strong>');
    expect(text).toContain('<strong>1 request or stream</strong>');
    expect(text).toContain('/admin/sessions/alice-2');
    expect(text).not.toContain('brief');
    expect(annotation(at.stage.named('admin-read')[0], 'target')).toBe('account:corp/sub-alice');
  });

  test('lists at most ten sessions, and counts the rest', async () => {
    const at = await signedInAs('root');
    for (let number = 0; number < 12; number += 1) await openSession(at.stage, `a-${number}`, 'alice');
    const { text } = await at.browser.get('/admin/revoke?kind=all').expect(200);
    expect(text).toContain('<strong>13 sessions of 2 users</strong>');
    expect(text.match(/href="\/admin\/sessions\//g)).toHaveLength(10);
    expect(text).toContain('and 3 others');
  });

  test.each(['kind=session&value=unknown', 'kind=username&value=unknown', 'kind=provider&value=unknown'])(
    'does not offer what is not there: %s',
    async (query) => {
      const at = await signedInAs('root');
      const { status, text } = await at.browser.get(`/admin/revoke?${query}`);
      expect([404, 409]).toContain(status);
      expect(text).not.toContain('Revoke now');
    },
  );
});

describe('an account of which nothing is known', () => {
  test('is named before anything is done, and is revoked and locked only with the box', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const page = (value: string) => at.browser.get(`/admin/revoke?kind=account&lock=on&value=${value}`);
    expect((await page('corp%2Fsub-alice').expect(200)).text).not.toContain('name="force"');
    const { text } = await page('corp%2Fsub-alcie').expect(200);
    expect(text).toMatch(/Nothing is known of this account[\s\S]*no revocation of its own/);
    expect(text).toContain('name="force"');
    const fields = { kind: 'account', value: 'corp/sub-alcie', reason: 'INC-<1>' };
    // Without the box the same form comes back, and what was typed is still there.
    for (const lock of ['', 'on']) {
      const again = await sendRevocation(at, { ...fields, lock }).expect(409);
      expect(again.text).toMatch(
        /name="force" value="on"\s+aria-describedby="force-error" aria-invalid="true" autofocus[\s\S]*name="reason"\s+value="INC-&lt;1&gt;"/,
      );
    }
    expect(await at.stage.store.locks.list()).toEqual([]);
    expect(at.stage.named('revocation').map(({ responseStatus }) => responseStatus?.code)).toEqual([409, 409]);
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('account_not_seen');
    await revokedBy(at, { ...fields, lock: 'on', force: 'on' });
    expect(await at.stage.store.locks.list()).toHaveLength(1);
    // The provider is a typing error that no box makes right.
    await page('crop%2Fsub-alice').expect(404);
  });

  test('is confirmed in the same way by the second of two admins', async () => {
    const dual = { groups: ['corp:platform'], auditors: [], freshness: 900, dualControl: 'on' } as const;
    const at = await signedInAs('root', { config: { admin: dual } });
    const asked = await sendRevocation(at, { ...ALICE, lock: 'on', force: 'on' }).expect(409);
    const link = /\/admin\/revoke\?kind=account[^<]*/.exec(asked.text)?.[0].replaceAll('&amp;', '&') ?? '';
    const other = browserAt(at.stage);
    await signIn(other, 'ann');
    expect((await other.get(link).expect(200)).text).toMatch(/name="force" value="on" checked/);
  });
});

/** What has to be typed: the name of root at the test provider, and of the provider. */
const OWN = [
  [{ kind: 'all', value: '' }, 'everyone', true],
  [{ kind: 'provider', value: 'corp' }, 'corp', true],
  [{ kind: 'provider', value: 'lab' }, 'lab', false],
  [{ kind: 'account', value: 'corp/sub-root' }, 'corp:root@example.com', true],
  [{ kind: 'username', value: 'corp:root@example.com' }, 'corp:root@example.com', true],
] as const;

describe('what hits many users, or the admin', () => {
  test.each(OWN)('%j asks for the word %s, and does nothing without it', async (target, word, own) => {
    const at = await signedInAs('root');
    const { text: asked } = await at.browser.get(`/admin/revoke?${new URLSearchParams(target).toString()}`).expect(200);
    expect(asked.includes('This includes you')).toBe(own);
    expect(asked).toContain(`<bdi>${word}</bdi>`);
    const reason = `"><script>`;
    for (const typed of ['', `${word}s`, word.toUpperCase(), `"><script>`]) {
      const { text } = await sendRevocation(at, { ...target, reason, word: typed }).expect(400);
      expect(text).toMatch(/id="word"\s[^>]*aria-describedby="word-error" aria-invalid="true" autofocus/);
      expect(text).toContain(`value="&quot;&gt;&lt;script&gt;"`);
      expect(text).not.toContain('"><script>');
    }
    expect(await at.stage.store.sessions.count()).toBe(1);
    expect(at.stage.named('revocation').map((event) => annotation(event, 'reason'))).toEqual(
      Array.from({ length: 4 }, () => 'not_confirmed'),
    );
    await sendRevocation(at, { ...target, reason, word }).expect(own ? 200 : 303);
    expect(await at.stage.store.sessions.count()).toBe(own ? 0 : 1);
  });

  test('knows the own account by a name that it had before', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'old-1', 'alice', 'corp/sub-root');
    const target = { kind: 'username', value: 'corp:alice@example.com', lock: 'on' } as const;
    const { text } = await at.browser.get(`/admin/revoke?${new URLSearchParams(target).toString()}`).expect(200);
    expect(text).toContain('This includes you');
    await sendRevocation(at, { ...target, word: target.value }).expect(400);
    expect(await at.stage.store.sessions.count()).toBe(2);
    await sendRevocation(at, { ...target, word: 'corp:root@example.com' }).expect(200);
    expect(await at.stage.store.sessions.count()).toBe(0);
  });

  test('asks for no word where it hits one other user, and for every field that is wrong at once', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const { text } = await at.browser.get('/admin/revoke?kind=account&value=corp%2Fsub-alice').expect(200);
    expect(text).not.toMatch(/name="word"|This includes you/);
    const all = await sendRevocation(at, { kind: 'all', value: '', reason: 'x'.repeat(501) }).expect(400);
    expect(all.text.match(/aria-invalid="true"/g)).toHaveLength(2);
    expect(all.text.match(/autofocus/g)).toHaveLength(1);
    // One's own account has no panel that ends it by one button.
    expect((await at.browser.get('/admin/accounts/corp%2Fsub-root').expect(200)).text).not.toContain(
      '<details class="panel"',
    );
  });
});

describe('sending a revocation', () => {
  test('revokes with the reason, and leads to the receipt', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const text = await revokedBy(at, { kind: 'session', value: 'alice-1', reason: 'INC-4711' });
    expect(text).toContain('Complete.');
    expect(text).toContain('portcullis-0');
    expect(text).not.toContain('http-equiv="refresh"');
    expect(await at.stage.store.sessions.read('alice-1')).toBeUndefined();
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('INC-4711');
  });

  test('twice, at the same time or later, makes one revocation', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const fields = { kind: 'session', value: 'alice-1', requestId: randomUUID() };
    const both = await Promise.all([sendRevocation(at, fields), sendRevocation(at, fields)]);
    both.push(await sendRevocation(at, fields));
    expect(both.map(({ status }) => status)).toEqual([303, 303, 303]);
    expect(new Set(both.map(locationOf))).toEqual(new Set([`/admin/revocations/${fields.requestId}`]));
    expect(at.stage.named('revocation')).toHaveLength(1);
  });

  test('with the same id and another target is not taken for the first one', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const fields = { ...ALICE, requestId: randomUUID() };
    const [one, other] = await Promise.all([sendRevocation(at, fields), sendRevocation(at, { ...fields, lock: 'on' })]);
    const locked = other.status === 303;
    expect([one.status, other.status]).toEqual(locked ? [409, 303] : [303, 409]);
    await sendRevocation(at, locked ? fields : { ...fields, lock: 'on' }).expect(409);
    expect((await at.stage.store.locks.find('corp/sub-alice')) !== undefined).toBe(locked);
  });

  test('without a reason, or by a form without a request id, is 400', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await sendRevocation(at, { ...ALICE, reason: ' ' }).expect(400);
    await sendRevocation(at, { ...ALICE, requestId: 'again' }).expect(400);
    await sendRevocation(at, { ...ALICE, kind: 'unknown' }).expect(400);
    expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
  });

  test('shows the receipt to an admin who revokes their own session', async () => {
    const at = await signedInAs('root');
    const { text } = await sendRevocation(at, { kind: 'all', value: '', word: 'everyone' }).expect(200);
    expect(text).toContain('Complete.');
    expect(text).toContain('You have revoked your own session');
    expect(text).not.toContain('name="csrf"');
    await at.browser.get('/admin').expect(303);
  });

  test('can be repeated as the same revocation when it was not written', async () => {
    let away = true;
    const at = await signedInAs('root', {
      change: (deps) => {
        const { revoke } = deps.guard;
        deps.guard.revoke = (order) =>
          away ? Promise.reject(new AppError('store_unavailable', 'away')) : revoke.call(deps.guard, order);
        return deps;
      },
    });
    await openSession(at.stage, 'alice-1', 'alice');
    const requestId = randomUUID();
    const { text } = await sendRevocation(at, { ...ALICE, requestId, reason: 'INC-1' }).expect(503);
    expect(text).toContain('Send it again');
    expect(text).toContain(`name="requestId" value="${requestId}"`);
    expect(text).toMatch(/name="reason"\s+value="INC-1"/);
    expect(annotation(at.stage.named('revocation')[0], 'outcome')).toBe('revocation_not_written');
    away = false;
    const again = await sendRevocation(at, { ...ALICE, requestId, reason: 'INC-1' }).expect(303);
    expect(locationOf(again)).toBe(`/admin/revocations/${requestId}`);
  });

  test('shows the first of two admins what the second one needs', async () => {
    const dual = { groups: ['corp:platform'], auditors: [], freshness: 900, dualControl: 'on' } as const;
    const at = await signedInAs('root', { config: { admin: dual } });
    const { text } = await sendRevocation(at, { kind: 'provider', value: 'lab', word: 'lab', reason: 'INC-1' }).expect(
      409,
    );
    const [approval] = at.stage.named('approval-asked').map((event) => annotation(event, 'approval') ?? '');
    expect(text).toContain('Nothing was done yet');
    // No revocation has failed.
    expect(at.stage.logged.filter((facts) => 'revocation' in facts)).toEqual([]);
    expect(text).toContain(`/admin/revoke?kind=provider&amp;value=lab&amp;approval=${approval}`);
    expect(text).toContain('datetime="2026-11-25T12:15:00Z"');
  });
});

describe('the receipt', () => {
  test('says where what was cut could not be searched, and where there is more than it shows', async () => {
    const cut = { 'portcullis.dev/reason': 'session_revoked' };
    const hits = range(120).map((n) => {
      const event = anEvent({ auditID: `cut-${n}`, annotations: cut });
      return { event, text: `line ${n}`, time: event.stageTimestamp };
    });
    const receiptWith = async (search: AuditHistory['search']): Promise<string> => {
      const at = await signedInAs('root', { change: (deps) => ({ ...deps, history: { search } }) });
      await openSession(at.stage, 'alice-1', 'alice');
      const sent = await sendRevocation(at, ALICE).expect(303);
      return (await at.browser.get(locationOf(sent)).expect(200)).text;
    };
    const busy = await receiptWith(() =>
      Promise.reject(new AppError('conflict', 'Others search.', { reason: 'busy' })),
    );
    expect(busy).toContain('Not searched');
    const full = await receiptWith(() => Promise.resolve({ hits, unreadable: 0 }));
    expect(full.match(/cut-\d+/g)?.length).toBeGreaterThanOrEqual(100);
    expect([full.includes('Not searched'), full.includes('The audit log has more of it')]).toEqual([false, true]);
    const few = await receiptWith(() => Promise.resolve({ hits: hits.slice(0, 100), unreadable: 0 }));
    expect(few).not.toContain('The audit log has more of it');
  });

  test('is loaded again without JavaScript until it is complete', async () => {
    const proof = new LateProof();
    const at = await signedInAs('root', { change: proof.change });
    await openSession(at.stage, 'alice-1', 'alice');
    const sent = await sendRevocation(at, { kind: 'session', value: 'alice-1' }).expect(303);
    const page = async () => (await at.browser.get(locationOf(sent)).expect(200)).text;
    const before = await page();
    expect(before).toContain('<noscript><meta http-equiv="refresh" content="1" /></noscript>');
    expect(before).toContain(`data-live="/admin/api/v1/revocations/`);
    expect(before).toMatch(/src="\/assets\/[^"]+\/receipt\.js"/);
    expect(before).toMatch(/<div data-complete="true" hidden>/);
    expect(before).toContain('replica portcullis-1');
    proof.prove();
    await expect.poll(page).not.toContain('http-equiv');
    expect(await page()).toContain('<div data-complete="true">');
  });

  test('that is not complete after ten minutes is followed no more, and says so', async () => {
    const at = await signedInAs('root', { change: new LateProof().change });
    const sent = await sendRevocation(at, { ...ALICE, force: 'on' }).expect(303);
    at.stage.clock.advance(600);
    const { text } = await at.browser.get(locationOf(sent)).expect(200);
    expect(text).toContain('<title>Revocation not proven');
    expect(text).toMatch(/Written, and not proven\.[\s\S]*replica portcullis-1[\s\S]*revoke again/);
    expect(text).not.toMatch(/receipt\.js|http-equiv="refresh"|data-live/);
  });

  test('is shown as soon as the revocation is written, also by another replica', async () => {
    const release = Promise.withResolvers<void>();
    const slow = (deps: WebDeps): WebDeps => {
      const { revoke, result } = deps.guard;
      let known: RevocationResult | undefined;
      deps.guard.revoke = async (order) => {
        const proven = await revoke.call(deps.guard, order);
        known = { ...proven, complete: false, missing: ['replica portcullis-1'] };
        await release.promise;
        known = proven;
        return proven;
      };
      deps.guard.result = (id) => (known?.id === id ? known : result.call(deps.guard, id));
      return deps;
    };
    const at = await signedInAs('root', { change: slow });
    await openSession(at.stage, 'alice-1', 'alice');
    const sent = await sendRevocation(at, { kind: 'session', value: 'alice-1' }).expect(303);
    const beside = browserAt(await openStage({ beside: at.stage }));
    await signIn(beside, 'root');
    const pages = async (): Promise<readonly string[]> =>
      Promise.all([at.browser, beside].map(async (browser) => (await browser.get(locationOf(sent)).expect(200)).text));
    for (const text of await pages()) expect(text).toContain('being proven');
    expect(at.stage.named('revocation')).toEqual([]);
    release.resolve();
    await expect.poll(() => at.stage.named('revocation').length).toBe(1);
    await expect
      .poll(pages)
      .toEqual([expect.not.stringContaining('http-equiv'), expect.not.stringContaining('http-equiv')]);
  });
});
