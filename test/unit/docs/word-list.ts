/**
 * Words that this project does not use, each with the field's own and the reason: an engineer from this field should never have to learn a
 * private dialect. `node test/unit/docs/word-list.ts PATH…` lists what is found below these paths.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

interface Unwanted {
  /** A regular expression, matched without regard to case, and never inside a longer name such as `proxy-bypassed`. */
  readonly word: string;
  readonly write: string;
  readonly because: string;
  /** Prose may speak of words. */
  readonly onlyInCode?: true;
}

export const UNWANTED: readonly Unwanted[] = [
  { word: 'gates?', write: 'Portcullis, the proxy, the server, revocation guard', because: 'it meant all four' },
  { word: '(?:the|on) record', write: 'the audit log; or which record', because: 'sessions have records too' },
  { word: 'rooms?', write: 'module; space', because: 'no other project calls a module so' },
  { word: 'houses?', write: 'server, stage', because: 'nobody outside can know it' },
  {
    word: '(?:is|are|was|were|be|been|stays?|went) away',
    write: 'unavailable',
    because: 'it is the word for a dependency',
  },
  { word: '(?:some|no|every|any)body', write: 'a user, no user, everyone, an attacker', because: 'it hides the role' },
  { word: 'whoever', write: 'anyone who, the user who, the requester', because: 'it hides the role' },
  { word: 'persons?|people', write: 'user, admin, auditor, operator', because: 'each role has a name' },
  { word: 'strangers?', write: 'unauthenticated client, attacker', because: 'each has a name' },
  { word: 'faults?', write: 'error, failure', because: 'one word for one thing' },
  { word: 'refusals?', write: 'rejection', because: 'one word for one thing' },
  { word: 'troubles?', write: 'error, failure', because: 'one word for one thing' },
  { word: 'words', write: 'message, text', because: 'a text for users is a message', onlyInCode: true },
  { word: 'foot(?:ing|age)', write: 'lease', because: 'distributed systems have leases' },
  { word: 'regimes?', write: 'primary generation', because: 'it says what it counts' },
  {
    word: '(?:new|earlier|other|same|first|each|this) li(?:fe|ves) of',
    write: 'primary generation',
    because: 'see regime',
  },
  { word: 'lanes?|paces?', write: 'rate limiter, circuit breaker, queue', because: 'these patterns have names' },
  { word: 'farewells?', write: 'termination notice', because: 'it is one' },
  { word: 'journeys?', write: 'login transaction', because: 'OAuth libraries call it so' },
  { word: 'wish(?:es)?', write: 'subscription', because: 'it is one' },
  { word: 'askers?', write: 'caller, client', because: 'it is one' },
  { word: 'anew|afresh', write: 'again', because: 'plain English' },
  { word: 'mend(?:s|ed|ing)?', write: 'fix, repair', because: 'plain English' },
  { word: 'for good', write: 'permanently', because: 'plain English' },
  {
    word: '(?:hand(?:s|ed|ing)?|carr(?:y|ies|ied|ying)) out',
    write: 'issue, run, apply',
    because: 'verbs of the field',
  },
  { word: 'vouch(?:es|ed|ing)?', write: 'verify, trust', because: 'plain English' },
  { word: '(?<!certificate )authorit(?:y|ies)', write: 'CA', because: 'a certificate authority is meant' },
  { word: 'brokers?', write: 'the server', because: 'one word for one thing' },
];

/** Names outside keep their spelling, because scripts depend on them. */
const STABLE = [
  ':authority',
  'feature gate',
  '--feature-gates',
  'featureGates',
  'Readiness Gates',
  'readiness gates',
  // The label of the chart's pods, which are selected by it: no upgrade can change a selector.
  'component: gate',
  'component=gate',
  "'app.kubernetes.io/component': 'gate'",
  '"app.kubernetes.io/component":"gate"',
  'unknown authority',
  // A variable of zsh, and a class of @peculiar/x509.
  'words[2,CURRENT-1]',
  'AuthorityKeyIdentifierExtension',
  // A client id of providers in tests, and the subject of its certificate, which assertions repeat.
  // The seed of a key of the frozen stores.
  'the key of the record of the frozen stores',
  // Keys of the command line's cache and of its output for scripts.
  "'person'",
  'person: user',
  'mend: readonly string[]',
  'mend: [',
  'person: []',
  'person: { readonly sessionId',
  '.person.sessionId',
  'refusal: {',
  'fault: expect',
  ').fault)',
  'mend: fix',
  'finding.mend',
  '?.mend',
  'refusal: Rejection',
  'refusal: rejection',
  'verdict.refusal',
  'fault: error',
  'fault: outcome.message',
  'fault: undecided(outcome)',
  'readonly fault?: string',
  '["everybody"]',
  'authority form',
  "'regime'",
  'REGIME',
  'regime.pml',
  "'authorities'",
  'kind="authorities"',
  "'authorities taken",
  "'authorities refused",
  '`authorities`',
];

const PATTERNS = UNWANTED.map((entry) => ({
  entry,
  pattern: new RegExp(`(?<![\\w-])(?:${entry.word})(?![\\w-])`, 'gi'),
}));

/** `startTestGate` as three words. */
const spaced = (name: string): string => name.replace(/([a-z\d])(?=[A-Z])/g, '$1 ');

export interface Finding {
  readonly line: number;
  readonly found: string;
  readonly write: string;
}

/** @param isCode identifiers are looked into, word by word */
export function unwantedIn(text: string, isCode: boolean): readonly Finding[] {
  // The whole text at once: line by line it takes seven times as long.
  const known = STABLE.reduce((left, name) => left.replaceAll(name, ''), text);
  // What stands inside `single` back-ticks is a name, of which only the whole could be changed.
  const plain = isCode ? spaced(known) : known.replaceAll(/`[^`\n ]*`/g, '``');
  return PATTERNS.filter(({ entry }) => isCode || entry.onlyInCode !== true)
    .flatMap(({ entry: { write }, pattern }) =>
      [...plain.matchAll(pattern)].map(({ 0: found, index }) => ({ line: lineAt(plain, index), found, write })),
    )
    .toSorted((one, other) => one.line - other.line);
}

const lineAt = (text: string, index: number): number => text.slice(0, index).split('\n').length;

const TEXT = /\.(?:ts|lua|md|css|js|mjs|ya?ml|tpl|txt|json|sh|pml|py)$|\/(?:Dockerfile|Makefile)$/;
/** Frozen, generated from a source that is checked, or the list itself. */
const LEFT_OUT = /(?:^|\/)(?:test\/fixtures\/store-|test\/unit\/docs\/words?[-.]|package-lock)/;

export function textFiles(path: string): readonly string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name))
    .filter((file) => TEXT.test(`/${file}`) && !LEFT_OUT.test(file));
}

/** @returns `FILE:LINE word: write that` for each */
export const findingsAt = (file: string): readonly string[] =>
  unwantedIn(readFileSync(file, 'utf8'), /\.(?:ts|lua|js|mjs)$/.test(file)).map(
    ({ line, found, write }) => `${file}:${line} ${found}: write ${write}`,
  );

if (import.meta.main) {
  const found = process.argv.slice(2).flatMap(textFiles).flatMap(findingsAt);
  process.stdout.write(`${found.join('\n')}\n${found.length} found\n`);
}
