/** The lesson about access requests: a right for a while, and the proof of its end. */
import { happened, type Lesson, type Wanted } from './lesson.ts';

const ALICE = 'demo:alice';
const SECRETS: Wanted = { who: ALICE, verb: 'list', resource: 'secrets', namespace: 'default' };
const denied: Wanted = { ...SECRETS, code: 403 };
const asked: Wanted = { event: 'access-requested', who: ALICE };
const approved: Wanted = { event: 'access-approved', who: 'demo:root' };
const listed: Wanted = { ...SECRETS, code: 200, facts: { 'grant-id': /./ } };
const ended: Wanted = { event: 'access-ended', account: 'demo/alice' };

export const rightForAWhile: Lesson = {
  number: 8,
  title: 'A right for a while',
  page: '8-a-right-for-a-while.md',
  terminals: [
    { name: 'alice', user: 'alice', browser: 'played' },
    { name: 'root', user: 'root', browser: 'played' },
  ],
  tasks: [
    { title: 'alice is denied the secrets of default', done: (seen) => happened(seen, denied) },
    { title: 'she asks for the role that the warning names', done: (seen) => happened(seen, denied, asked) },
    {
      title: 'she tries to approve it herself, and is rejected',
      done: (seen) => happened(seen, asked, { event: 'access-refused', who: ALICE }),
    },
    { title: 'root approves it', done: (seen) => happened(seen, asked, approved) },
    { title: 'alice lists the secrets', done: (seen) => happened(seen, asked, approved, listed) },
    { title: 'the grant ends', done: (seen) => happened(seen, approved, listed, ended) },
    { title: 'alice is denied them again', done: (seen) => happened(seen, listed, ended, denied) },
  ],
};
