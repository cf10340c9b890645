/** The lessons for platform and security people: rights as small as the work, keys that are replaced, and a drill with its record. */
import { Terminal } from '../tour/terminal.ts';
import { happened, setUp, type Lesson, type LessonTerminal, type Wanted } from './lesson.ts';

const ROOT: LessonTerminal = { name: 'root', person: 'root', browser: 'played' };
const PAYMENTS = 'payments';
const bobLists: Wanted = { who: 'demo:bob', verb: 'list', resource: 'pods', namespace: PAYMENTS };
const bound: Wanted = { who: 'demo:root', verb: 'create', resource: 'rolebindings', namespace: PAYMENTS, code: 201 };

export const leastPrivilege: Lesson = {
  number: 4,
  title: 'Least privilege',
  page: '4-least-privilege.md',
  terminals: [{ name: 'bob', person: 'bob', browser: 'played' }, ROOT],
  tasks: [
    { words: 'bob is refused the pods of payments', done: (seen) => happened(seen, { ...bobLists, code: 403 }) },
    {
      words: 'root gives him a role that reads pods there',
      done: (seen) => happened(seen, { ...bobLists, code: 403 }, bound),
    },
    { words: 'bob lists them', done: (seen) => happened(seen, bound, { ...bobLists, code: 200 }) },
    {
      words: 'bob is refused to delete one',
      done: (seen) => happened(seen, bound, { who: 'demo:bob', verb: 'delete', resource: 'pods', code: 403 }),
    },
    {
      words: 'root tries his rights with --as: no secrets',
      done: (seen) => happened(seen, bound, { who: 'demo:root', as: 'demo:bob', resource: 'secrets', code: 403 }),
    },
    {
      words: 'the cluster says: bob reads pods in payments, deletes none, and sees no secrets',
      done: async (seen) => {
        const bob = { user: 'demo:bob', namespace: PAYMENTS };
        const [lists, deletes, secrets] = await Promise.all([
          seen.may({ ...bob, verb: 'list', resource: 'pods' }),
          seen.may({ ...bob, verb: 'delete', resource: 'pods' }),
          seen.may({ ...bob, verb: 'list', resource: 'secrets' }),
        ]);
        return lists && !deletes && !secrets;
      },
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
    { name: 'alice', person: 'alice', browser: 'played' },
    { name: 'server', person: 'root', browser: 'none' },
  ],
  tasks: [
    { words: 'alice signs in and works', done: (seen) => happened(seen, signedIn, works) },
    { words: 'new keys are made, and the gate takes them up', done: (seen) => happened(seen, reloaded) },
    {
      words: 'alice works on without signing in again',
      done: (seen) => happened(seen, signedIn, works, reloaded, works) && !happened(seen, reloaded, signedIn),
    },
  ],
};

const drilled: Wanted = { event: 'drill', who: 'demo:root', facts: { verdict: /^passed$/ } };

export const drillAndRecord: Lesson = {
  number: 6,
  title: 'A drill, and what the record says',
  page: '6-drill-and-record.md',
  terminals: [ROOT, { name: 'vera', person: 'vera', browser: 'played' }],
  questions: [
    {
      name: 'who',
      words: 'Who was refused the secrets of payments before you came?',
      right: 'demo:bob',
      hint: 'Ask the record for what was refused: audit query … --refused --resource secrets',
    },
  ],
  tasks: [
    { words: 'root runs a drill, and it passes', done: (seen) => happened(seen, drilled) },
    {
      words: 'vera, an auditor, looks at the sessions',
      done: (seen) => happened(seen, { event: 'admin-read', who: 'demo:vera', reason: 'sessions' }),
    },
    {
      words: 'vera tries to revoke, and is refused',
      done: (seen) => happened(seen, { event: 'admin-refused', who: 'demo:vera', code: 403 }),
    },
    { words: 'answer: who was refused before you came?', done: ({ answered }) => answered.has('who') },
  ],
  async scene({ files, urls }) {
    const bob = new Terminal(files, 'bob');
    await setUp(bob.portcullis('login', '--server', urls.web));
    await bob.kubectl('get', 'secrets', '--namespace', PAYMENTS);
  },
};
