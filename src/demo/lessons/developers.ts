/** The lessons for developers: signing in, what a token is, and what to do when a laptop is stolen. */
import { happened, type Lesson, type Wanted } from './lesson.ts';

const ALICE = 'demo:alice';
const signedIn: Wanted = { event: 'sign-in', who: ALICE };
const listed: Wanted = { who: ALICE, verb: 'list', resource: 'pods', code: 200 };
// kubectl may ask for the list of APIs first, and be refused there.
const refusedWithoutKey: Wanted = { code: 401, reason: 'certificate_missing' };
const refusedAsEnded: Wanted = { code: 401, reason: 'session_revoked' };
const signedOut: Wanted = { event: 'logout', account: 'demo/alice' };
const revoked: Wanted = {
  event: 'revocation',
  who: 'demo:root',
  facts: { target: /^(account:demo\/alice|session:.+)$/ },
  code: 200,
};
const cut: Wanted = { who: ALICE, verb: 'watch', reason: 'session_revoked', stage: 'ResponseComplete' };

export const signingIn: Lesson = {
  number: 1,
  title: 'Signing in',
  page: '1-signing-in.md',
  terminals: [{ name: 'alice', person: 'alice', browser: 'own' }],
  tasks: [
    { words: 'sign in as alice', done: (evidence) => happened(evidence, signedIn) },
    { words: 'list pods with plain kubectl', done: (evidence) => happened(evidence, signedIn, listed) },
    {
      words: 'ask the cluster who you are to it',
      done: (evidence) => happened(evidence, { who: ALICE, verb: 'create', resource: 'selfsubjectreviews', code: 201 }),
    },
    {
      words: 'try the secrets of the namespace payments, and be refused',
      done: (evidence) =>
        happened(evidence, { who: ALICE, verb: 'list', resource: 'secrets', namespace: 'payments', code: 403 }),
    },
  ],
};

export const aboutTokens: Lesson = {
  number: 2,
  title: 'What a token is, and what it is not',
  page: '2-tokens.md',
  terminals: [{ name: 'alice', person: 'alice', browser: 'played' }],
  tasks: [
    { words: 'sign in as alice', done: (evidence) => happened(evidence, signedIn) },
    {
      words: 'use the token alone, and be refused',
      done: (evidence) => happened(evidence, signedIn, refusedWithoutKey),
    },
    {
      words: 'use the token with its key, and be let in',
      done: (evidence) => happened(evidence, refusedWithoutKey, listed),
    },
    { words: 'sign out', done: (evidence) => happened(evidence, signedIn, signedOut) },
    {
      words: 'use both once more, and be refused',
      done: (evidence) => happened(evidence, listed, signedOut, refusedAsEnded),
    },
  ],
};

export const stolenLaptop: Lesson = {
  number: 3,
  title: 'A stolen laptop',
  page: '3-stolen-laptop.md',
  terminals: [
    { name: 'alice', person: 'alice', browser: 'played' },
    { name: 'thief', person: 'alice', laptopOf: 'alice', browser: 'none' },
    { name: 'root', person: 'root', browser: 'played' },
    { name: 'alice-new', person: 'alice', browser: 'played' },
  ],
  tasks: [
    { words: 'alice signs in and works', done: (evidence) => happened(evidence, signedIn, listed) },
    {
      words: 'the thief opens a watch with her session',
      done: (evidence) => happened(evidence, signedIn, { who: ALICE, verb: 'watch', stage: 'ResponseStarted' }),
    },
    {
      words: 'root looks at the sessions',
      done: (evidence) => happened(evidence, signedIn, { event: 'admin-read', who: 'demo:root', reason: 'sessions' }),
    },
    { words: "root ends alice's sessions", done: (evidence) => happened(evidence, signedIn, revoked) },
    { words: "the thief's watch is cut", done: (evidence) => happened(evidence, revoked, cut) },
    { words: "the thief's next request is refused", done: (evidence) => happened(evidence, revoked, refusedAsEnded) },
    {
      words: 'alice signs in on her new laptop and works',
      done: (evidence) => happened(evidence, revoked, signedIn, listed),
    },
  ],
};
