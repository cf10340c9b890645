/** The incident: evidence was planted in an audit log, and the learner finds out what happened. */
import { Terminal } from '../tour/terminal.ts';
import { happened, setUp, type Evidence, type Lesson, type Question, type Wanted } from './lesson.ts';
import { plantNight, TRUTH } from './night.ts';

const QUESTIONS: readonly Question[] = [
  {
    name: 'forged',
    title: 'which file has been changed',
    right: TRUTH.forged,
    hint: 'Let audit verify judge each file by itself.',
  },
  {
    name: 'who',
    title: 'whose credential was used',
    right: TRUTH.who,
    hint: 'Look at which user was denied secrets several times in a row, and from where. Write the name as the audit log does.',
  },
  {
    name: 'from',
    title: 'from which address by the thief',
    right: TRUTH.from,
    hint: 'The same user worked from the office before. Which address is the other one?',
  },
  {
    name: 'session',
    title: 'in which session',
    right: TRUTH.session,
    hint: 'It stands in each line as portcullis.dev/session: ask with -o json.',
  },
  {
    name: 'time',
    title: 'from when on, HH:MM (UTC)',
    right: TRUTH.time,
    hint: 'Ask for that session alone. When does the second address come first? It was not a secret that was read then.',
  },
  {
    name: 'as',
    title: 'as whom it worked in the end',
    right: TRUTH.as,
    hint: 'The table says "as" where --as was used. Look at the outcomes. Write the name as the audit log does.',
  },
  {
    name: 'read',
    title: 'the secret that was read',
    right: TRUTH.read,
    hint: 'Only one read of a secret was answered 200: --resource secrets --code 200. Its name alone.',
  },
  {
    name: 'by',
    title: 'who locked the account',
    right: TRUTH.by,
    hint: 'Ask for --event lock.',
  },
];

const ROOT = 'demo:root';

/** What lets alice act as the deployer, and the deployer see the secrets. */
const RULES: readonly (readonly string[])[] = [
  ['clusterrole', 'act-as-deployer', '--verb=impersonate', '--resource=users', `--resource-name=${TRUTH.as}`],
  ['clusterrolebinding', 'release-week', '--clusterrole=act-as-deployer', `--user=${TRUTH.who}`],
  ['role', 'deployer', '--verb=get', '--resource=secrets', '--namespace=payments'],
  ['rolebinding', 'deployer', '--role=deployer', `--user=${TRUTH.as}`, '--namespace=payments'],
];

/** The cluster's own word, and that it was root who changed it. */
async function isRuleGone(seen: Evidence): Promise<boolean> {
  const changed = ['clusterrolebindings', 'clusterroles'].some((resource) =>
    ['delete', 'patch', 'update'].some((verb) => happened(seen, { who: ROOT, verb, resource, code: 200 })),
  );
  const rule = { user: TRUTH.who, verb: 'impersonate', resource: 'users', namespace: '', name: TRUTH.as };
  return changed && !(await seen.may(rule));
}

const toSecret: Wanted = { who: ROOT, resource: 'secrets', namespace: 'payments' };
const REPLACED: readonly (readonly Wanted[])[] = [
  [{ ...toSecret, verb: 'update', name: TRUTH.read, code: 200 }],
  [{ ...toSecret, verb: 'patch', name: TRUTH.read, code: 200 }],
  // The name of a new object is in the body, which Portcullis does not read.
  [
    { ...toSecret, verb: 'delete', name: TRUTH.read, code: 200 },
    { ...toSecret, verb: 'create', code: 201 },
  ],
];

export const incident: Lesson = {
  number: 7,
  title: 'An incident',
  page: '7-incident.md',
  terminals: [{ name: 'root', user: 'root', browser: 'played' }],
  questions: QUESTIONS,
  tasks: [
    ...QUESTIONS.map(({ name, title }) => ({
      title: `answer ${name}=… : ${title}`,
      done: ({ answered }: { readonly answered: ReadonlySet<string> }) => answered.has(name),
    })),
    {
      title: 'see that alice has no session now',
      done: (seen) =>
        [{ reason: 'sessions' }, { facts: { target: /^account:demo\/alice$/ } }].some((read) =>
          happened(seen, { event: 'admin-read', who: ROOT, code: 200, ...read }),
        ),
    },
    { title: `take away the rule that lets alice act as ${TRUTH.as}`, done: isRuleGone },
    {
      title: `replace the secret that was read`,
      done: (seen) => REPLACED.some((series) => happened(seen, ...series)),
    },
    {
      title: "take alice's lock off, with the case in the reason",
      done: (seen) => happened(seen, { event: 'unlock', who: ROOT, code: 200, facts: { reason: /INC-2207/ } }),
    },
  ],
  async scene({ files, urls }) {
    await plantNight(files);
    const root = new Terminal(files, 'root');
    await setUp(root.portcullis('login', '--server', urls.web));
    for (const rule of RULES) await setUp(root.kubectl('create', ...rule));
    await setUp(root.portcullis('lock', 'demo/alice', '--force', '--reason', 'INC-2207', '--server', urls.web));
  },
};
