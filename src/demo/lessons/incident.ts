/** The incident: evidence was planted in a record, and the learner finds out what happened. */
import { Terminal } from '../tour/terminal.ts';
import { happened, setUp, type Lesson, type Question } from './lesson.ts';
import { plantNight, TRUTH } from './night.ts';

const QUESTIONS: readonly Question[] = [
  {
    name: 'forged',
    words: 'which file has been changed',
    right: TRUTH.forged,
    hint: 'Let audit verify judge each file by itself.',
  },
  {
    name: 'who',
    words: 'whose credential was used',
    right: TRUTH.who,
    hint: 'Look at who was refused secrets in a row, and from where.',
  },
  {
    name: 'from',
    words: 'from which address by the thief',
    right: TRUTH.from,
    hint: 'The same person worked from the office before. Which address is the other one?',
  },
  {
    name: 'session',
    words: 'in which session',
    right: TRUTH.session,
    hint: 'It stands in each line as portcullis.dev/session: ask with -o json.',
  },
  {
    name: 'time',
    words: 'from when on, HH:MM (UTC)',
    right: TRUTH.time,
    hint: 'Ask for that session alone. When does the second address come first? It was not a secret that was read then.',
  },
  {
    name: 'as',
    words: 'as whom it worked in the end',
    right: TRUTH.as,
    hint: 'The table says "as" where somebody used --as. Look at the outcomes.',
  },
  {
    name: 'read',
    words: 'the secret that was read',
    right: TRUTH.read,
    hint: 'Only one read of a secret was answered 200: --resource secrets --code 200',
  },
  {
    name: 'by',
    words: 'who locked the account',
    right: TRUTH.by,
    hint: 'Ask for --event lock.',
  },
];

export const incident: Lesson = {
  number: 7,
  title: 'An incident',
  page: '7-incident.md',
  terminals: [{ name: 'root', person: 'root', browser: 'played' }],
  questions: QUESTIONS,
  tasks: [
    ...QUESTIONS.map(({ name, words }) => ({
      words: `answer ${name}=… : ${words}`,
      done: ({ answered }: { readonly answered: ReadonlySet<string> }) => answered.has(name),
    })),
    {
      words: 'see that alice has no session now',
      done: (seen) =>
        happened(seen, { event: 'admin-read', who: 'demo:root', facts: { target: /^account:demo\/alice$/ } }),
    },
    {
      words: "take alice's lock off, with the case in the reason",
      done: (seen) => happened(seen, { event: 'unlock', who: 'demo:root', facts: { reason: /INC-2207/ } }),
    },
  ],
  async scene({ files, urls }) {
    await plantNight(files);
    const root = new Terminal(files, 'root');
    await setUp(root.portcullis('login', '--server', urls.web));
    await setUp(root.portcullis('lock', 'demo/alice', '--reason', 'INC-2207', '--server', urls.web));
  },
};
