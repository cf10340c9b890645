/** The lessons for platform and security engineers: least privilege, key rotation, and a drill with its audit log. */
import { Terminal } from '../tour/terminal.ts';
import { happened, setUp, type Evidence, type Lesson, type LessonTerminal, type Wanted } from './lesson.ts';

const ROOT: LessonTerminal = { name: 'root', user: 'root', browser: 'played' };
const PAYMENTS = 'payments';
const bobLists: Wanted = { who: 'demo:bob', verb: 'list', resource: 'pods', namespace: PAYMENTS };
/** By `create`, by `apply` of either kind, by `replace` or `edit`. */
const BINDINGS: readonly Wanted[] = [
  { verb: 'create', code: 201 },
  { verb: 'patch', code: 201 },
  { verb: 'patch', code: 200 },
  { verb: 'update', code: 200 },
].map((change) => ({ who: 'demo:root', resource: 'rolebindings', namespace: PAYMENTS, ...change }));

const onceBound = (seen: Evidence, ...series: readonly Wanted[]): boolean =>
  BINDINGS.some((bound) => happened(seen, bound, ...series));

/** The cluster's own word, however the role was made. */
async function isJustEnough(seen: Evidence): Promise<boolean> {
  const user = 'demo:bob';
  if (!(await seen.may({ user, verb: 'list', resource: 'pods', namespace: PAYMENTS }))) return false;
  const tooMuch = await Promise.all([
    seen.may({ user, verb: 'list', resource: 'pods', namespace: '' }),
    seen.may({ user, verb: 'list', resource: 'pods', namespace: 'default' }),
    seen.may({ user, verb: 'create', resource: 'pods', namespace: PAYMENTS }),
    seen.may({ user, verb: 'delete', resource: 'pods', namespace: PAYMENTS }),
    seen.may({ user, verb: 'list', resource: 'secrets', namespace: PAYMENTS }),
    seen.may({ user, verb: 'get', resource: 'secrets', namespace: PAYMENTS }),
  ]);
  return !tooMuch.includes(true);
}

export const leastPrivilege: Lesson = {
  number: 4,
  title: 'Least privilege',
  page: '4-least-privilege.md',
  terminals: [{ name: 'bob', user: 'bob', browser: 'played' }, ROOT],
  tasks: [
    { title: 'bob is denied the pods of payments', done: (seen) => happened(seen, { ...bobLists, code: 403 }) },
    {
      title: 'root gives him a role that reads pods there',
      // The subject of a binding is in its body, which Portcullis does not read: the cluster says whether it was bob.
      done: async (seen) =>
        onceBound(seen) && (await seen.may({ user: 'demo:bob', verb: 'list', resource: 'pods', namespace: PAYMENTS })),
    },
    { title: 'bob lists them', done: (seen) => onceBound(seen, { ...bobLists, code: 200 }) },
    {
      title: 'bob is denied to delete one',
      done: (seen) =>
        onceBound(seen, { who: 'demo:bob', verb: 'delete', resource: 'pods', namespace: PAYMENTS, code: 403 }),
    },
    {
      title: 'root tries his rights with --as: no secrets of payments',
      done: (seen) =>
        onceBound(seen, {
          who: 'demo:root',
          as: 'demo:bob',
          resource: 'secrets',
          namespace: PAYMENTS,
          code: 403,
        }),
    },
    {
      title: 'the cluster says: bob reads pods in payments and nowhere else, deletes none, and sees no secrets',
      done: isJustEnough,
    },
  ],
};

const signedIn: Wanted = { event: 'sign-in', who: 'demo:alice' };
const works: Wanted = { who: 'demo:alice', verb: 'list', resource: 'pods', code: 200 };
const reloaded: Wanted = { event: 'files-reloaded', facts: { files: /signing/ } };

export const rotation: Lesson = {
  number: 5,
  title: 'Rotation',
  page: '5-rotation.md',
  terminals: [
    { name: 'alice', user: 'alice', browser: 'played' },
    { name: 'server', user: 'root', browser: 'none' },
  ],
  questions: [
    {
      name: 'minutes',
      title: 'After how many minutes does a new key sign?',
      right: '10',
      hint: 'keys rotate says it in its last line. As a number.',
    },
  ],
  tasks: [
    { title: 'alice signs in and works', done: (seen) => happened(seen, signedIn, works) },
    { title: 'new keys are generated, and the server uses them', done: (seen) => happened(seen, reloaded) },
    {
      title: 'answer minutes=… : after how many minutes the new key signs',
      done: ({ answered }) => answered.has('minutes'),
    },
    {
      title: 'alice works on without signing in again',
      done: (seen) => happened(seen, signedIn, works, reloaded, works) && !happened(seen, reloaded, signedIn),
    },
  ],
};

const drilled: Wanted = { event: 'drill', who: 'demo:root', facts: { verdict: /^passed$/ } };

export const drillAndRecord: Lesson = {
  number: 6,
  title: 'A drill and the audit log',
  page: '6-drill-and-record.md',
  terminals: [ROOT, { name: 'vera', user: 'vera', browser: 'played' }],
  questions: [
    {
      name: 'who',
      title: 'Which user was denied the secrets of payments before you came?',
      right: 'demo:bob',
      hint: 'Query the audit log for what was denied: audit query … --refused --resource secrets. Write the name as the audit log does.',
    },
    {
      name: 'verdict',
      title: 'What does audit verify call a copy in which one name was changed?',
      right: 'tampered',
      hint: 'Change a name in a copy with sed, and let audit verify judge the copy. One word.',
    },
  ],
  tasks: [
    { title: 'root runs a drill, and it passes', done: (seen) => happened(seen, drilled) },
    {
      title: 'vera, an auditor, looks at the sessions',
      done: (seen) => happened(seen, { event: 'admin-read', who: 'demo:vera', reason: 'sessions' }),
    },
    {
      title: 'vera tries to revoke, and is denied',
      done: (seen) =>
        happened(seen, { event: 'admin-refused', who: 'demo:vera', reason: 'auditor_may_not_act', code: 403 }),
    },
    {
      title: 'answer who=… : which user was denied the secrets before you came',
      done: ({ answered }) => answered.has('who'),
    },
    {
      title: 'answer verdict=… : what audit verify calls a copy in which one name was changed',
      done: ({ answered }) => answered.has('verdict'),
    },
  ],
  async scene({ files, urls }) {
    const bob = new Terminal(files, 'bob');
    await setUp(bob.portcullis('login', '--server', urls.web));
    await bob.kubectl('get', 'secrets', '--namespace', PAYMENTS);
  },
};
