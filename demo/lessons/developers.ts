/** The lessons for developers: signing in, what a token is, and what to do when a laptop is stolen. */
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { annotation, happened, type Evidence, type Lesson, type Wanted } from './lesson.ts';

const ALICE = 'demo:alice';
const signedIn: Wanted = { event: 'sign-in', who: ALICE };
const listed: Wanted = { who: ALICE, verb: 'list', resource: 'pods', code: 200 };
// kubectl may ask for the list of APIs first, and be rejected there.
const refusedWithoutKey: Wanted = { code: 401, reason: 'certificate_missing' };
const cut: Wanted = { who: ALICE, verb: 'watch', reason: 'session_revoked', stage: 'ResponseComplete' };
const refusedAsEnded: Wanted = { code: 401, reason: 'session_revoked' };
// After five minutes kubectl has no token left, so the renewal is rejected instead.
const renewalRefused: Wanted = { event: 'refresh-refused', reason: 'invalid_grant' };

/** Whether alice's own session was ended, by `logout` or on her page; signing out of the pages alone leaves it. */
function signedOut({ events }: Pick<Evidence, 'events'>): boolean {
  return sessionsAtWork(events).some((session) =>
    [
      { event: 'logout', session, reason: 'sign_out' },
      { event: 'logout', account: 'demo/alice', facts: { target: ofSession(session) } },
    ].some((ended) => happened({ events }, { ...listed, session }, ended)),
  );
}

/** What ends alice's sessions: the one that she works in, all of hers, or those of all users. Root's own is not hers. */
function revocations({ events }: Pick<Evidence, 'events'>): readonly Wanted[] {
  const targets = [/^(account:demo\/alice|provider:demo|all)$/, ...sessionsAtWork(events).map(ofSession)];
  return targets.map((target) => ({ event: 'revocation', who: 'demo:root', facts: { target }, code: 200 }));
}

/** The same as `happened`, with the revocation before what is looked for. */
const afterRevocation = (evidence: Evidence, ...series: readonly Wanted[]): boolean =>
  revocations(evidence).some((revoked) => happened(evidence, signedIn, revoked, ...series));

/** The sessions in which alice listed pods. */
function sessionsAtWork(events: readonly AuditEvent[]): readonly string[] {
  const sessions = events.filter((event) => happened({ events: [event] }, listed)).map(sessionOf);
  return [...new Set(sessions.filter((session) => session !== undefined))];
}

const sessionOf = (event: AuditEvent): string | undefined => annotation(event, 'session');

const ofSession = (session: string): RegExp => new RegExp(`^session:${session}$`);

export const signingIn: Lesson = {
  number: 1,
  title: 'Signing in',
  page: '1-signing-in.md',
  terminals: [{ name: 'alice', user: 'alice', browser: 'own' }],
  tasks: [
    { title: 'sign in as alice', done: (evidence) => happened(evidence, signedIn) },
    { title: 'list pods with plain kubectl', done: (evidence) => happened(evidence, signedIn, listed) },
    {
      title: 'ask the cluster who you are',
      done: (evidence) => happened(evidence, { who: ALICE, verb: 'create', resource: 'selfsubjectreviews', code: 201 }),
    },
    {
      title: 'try the secrets of the namespace payments, and be denied',
      done: (evidence) => happened(evidence, { who: ALICE, resource: 'secrets', namespace: 'payments', code: 403 }),
    },
  ],
};

export const aboutTokens: Lesson = {
  number: 2,
  title: 'What a token is, and what it is not',
  page: '2-tokens.md',
  terminals: [{ name: 'alice', user: 'alice', browser: 'played' }],
  tasks: [
    { title: 'sign in as alice', done: (evidence) => happened(evidence, signedIn) },
    {
      title: 'use the token alone, and be rejected',
      done: (evidence) => happened(evidence, signedIn, refusedWithoutKey),
    },
    {
      title: 'use the token with its key, and be accepted',
      done: (evidence) => happened(evidence, refusedWithoutKey, listed),
    },
    { title: 'sign out', done: signedOut },
    {
      title: 'use both once more, and be rejected',
      done: (evidence) => signedOut(evidence) && happened(evidence, listed, { event: 'logout' }, refusedAsEnded),
    },
  ],
};

export const stolenLaptop: Lesson = {
  number: 3,
  title: 'A stolen laptop',
  page: '3-stolen-laptop.md',
  terminals: [
    { name: 'alice', user: 'alice', browser: 'played' },
    { name: 'thief', user: 'alice', laptopOf: 'alice', browser: 'none' },
    { name: 'root', user: 'root', browser: 'played' },
    { name: 'alice-new', user: 'alice', browser: 'played' },
  ],
  tasks: [
    { title: 'alice signs in and works', done: (evidence) => happened(evidence, signedIn, listed) },
    {
      title: 'the thief opens a watch with her session',
      done: (evidence) => happened(evidence, signedIn, { who: ALICE, verb: 'watch', stage: 'ResponseStarted' }),
    },
    {
      title: 'root looks at the sessions',
      done: (evidence) => happened(evidence, signedIn, { event: 'admin-read', who: 'demo:root', reason: 'sessions' }),
    },
    { title: "root ends alice's sessions", done: (evidence) => afterRevocation(evidence) },
    { title: "the thief's watch is cut", done: (evidence) => afterRevocation(evidence, cut) },
    {
      title: "the thief's next request is rejected",
      done: (evidence) => [refusedAsEnded, renewalRefused].some((refused) => afterRevocation(evidence, refused)),
    },
    {
      title: 'alice signs in on her new laptop and works',
      done: (evidence) => afterRevocation(evidence, signedIn, listed),
    },
  ],
};
