/**
 * Writes docs/reference/audit-events.md from the catalogue: `node scripts/audit-reference.ts`. A unit test compares the two.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  AUDIT_FACTS,
  CHAIN_FACTS,
  PORTCULLIS_EVENTS,
  REQUEST_FACTS,
  type AuditFact,
  type CatalogueEntry,
} from '../src/core/audit/catalogue.ts';

export const AUDIT_REFERENCE = fileURLToPath(new URL('../docs/reference/audit-events.md', import.meta.url));

export const REGENERATE_AUDIT = 'node scripts/audit-reference.ts';

const HEAD = `# Events of the record

<!-- Written by \`${REGENERATE_AUDIT}\` from the catalogue in src/core/audit/catalogue.ts. Do not edit. -->

Every line of the record is one \`Event\` of \`audit.k8s.io/v1\` at level \`Metadata\`, in the form and order in which a Kubernetes API server writes it, so that existing tools read it.

- A **request** to a cluster has the verb, \`objectRef\` and \`requestURI\` that the API server records for it, and the same \`auditID\`: both records join on it.
- An **event of the gate itself** has its name as \`verb\` and in the annotation \`portcullis.dev/event\`.
- \`user\` is the person. \`impersonatedUser\` is whom they act as with \`--as\`. The API server's own record has our service account as \`user\` and the person as \`impersonatedUser\`.

## Requests

One line at the end (\`ResponseComplete\`), and one more when the answer begins (\`ResponseStarted\`) of what is long-running: a watch, exec, attach, port-forward, proxy, and logs that are followed.
What may change something has one before either (\`RequestReceived\`), written [before the API server gets it](../audit.md#before-a-change-is-made), without \`responseStatus\`. Nothing after it under the same \`auditID\`: begun, and no outcome known.

Where it differs from the API server's own line of the same request:

| Field | Here | There |
|---|---|---|
| \`user\`, \`impersonatedUser\` | the person; whom they act as | our service account; the person |
| \`user.groups\` | as they are mapped | \`system:authenticated\` besides |
| \`objectRef.name\` of what is created, \`uid\`, \`resourceVersion\` | absent: they stand in the body, which is not read | from the body |
| \`responseStatus\` of what the cluster refused | \`code\` | the whole Status |
| \`responseStatus\` of what the gate refused | \`code\`, \`reason\`, \`message\`, \`status\` | no line: the request did not get there |
| \`requestURI\` | values that can be secrets are \`REDACTED\`, exec's \`command\` is counted | as it came |
| \`sourceIPs\` | the client, as the gate saw it | the client, as the gate says |
| stage \`RequestReceived\` | of what may change something | by its own policy |
| stages of \`pods/log\` without \`follow\` | \`ResponseComplete\` | \`ResponseStarted\` besides |
| \`/livez\`, \`/readyz\`, \`/version\`, \`/openapi\`, read and allowed | no line | by its own policy |
| \`annotations\` | those below | \`authorization.k8s.io/…\` and others of its own |
`;

/** The page. */
export function auditReference(): string {
  const entries = Object.entries(PORTCULLIS_EVENTS) as [string, CatalogueEntry][];
  const chapters = [...new Set(entries.map(([, { chapter }]) => chapter))];
  return [
    HEAD,
    '## Annotations of a request',
    '',
    factTable(REQUEST_FACTS),
    '',
    '## Annotations of every line',
    '',
    factTable(CHAIN_FACTS),
    '',
    '# Events of the gate itself',
    '',
    ...chapters.flatMap((chapter) => [
      `## ${chapter}`,
      '',
      ...entries.filter(([, entry]) => entry.chapter === chapter).flatMap(([name, entry]) => section(name, entry)),
    ]),
    '# Annotations',
    '',
    'Each stands under `portcullis.dev/`, and only where it has a value.',
    '',
    factTable(Object.keys(AUDIT_FACTS) as AuditFact[]),
    '',
  ].join('\n');
}

const section = (name: string, { when, code, facts }: CatalogueEntry): readonly string[] => [
  `### ${name}`,
  '',
  `When ${when}.`,
  '',
  `Code: ${code}. Annotations: ${facts.map((fact) => `\`${fact}\``).join(', ')}.`,
  '',
];

const factTable = (facts: readonly AuditFact[]): string =>
  ['| Annotation | What it says |', '|---|---|', ...facts.map((fact) => `| \`${fact}\` | ${AUDIT_FACTS[fact]} |`)].join(
    '\n',
  );

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = auditReference();
  const before = readFileSync(AUDIT_REFERENCE, { encoding: 'utf8', flag: 'a+' });
  if (before !== text) writeFileSync(AUDIT_REFERENCE, text);
  console.log(`${AUDIT_REFERENCE} ${before === text ? 'is up to date' : 'is written'}`);
}
