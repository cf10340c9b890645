/**
 * Writes docs/reference/audit-events.md from the catalogue: `node scripts/audit-reference.ts`. A unit test
 * compares the two.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { entry, wrapped } from './markdown-text.ts';
import { AUDIT_FACTS, CHAIN_FACTS, REQUEST_FACTS, type AuditFact } from '../src/core/audit/annotations.ts';
import { PORTCULLIS_EVENTS, type CatalogueEntry } from '../src/core/audit/catalogue.ts';

export const AUDIT_REFERENCE = fileURLToPath(new URL('../docs/reference/audit-events.md', import.meta.url));

export const REGENERATE_AUDIT = 'node scripts/audit-reference.ts';

const HEAD = `# Audit events

<!-- Written by \`${REGENERATE_AUDIT}\` from src/core/audit/catalogue.ts and annotations.ts. Do not edit. -->

Every line of the audit log is one \`Event\` of \`audit.k8s.io/v1\` at level \`Metadata\`, in the form and order in which a
Kubernetes API server writes it, so that existing tools read it.

- A **request** to a cluster has the verb, \`objectRef\` and \`requestURI\` that the API server records for it, and the same
  \`auditID\`, so that both audit logs can be joined on it.
- An **event of Portcullis itself** has its name as \`verb\` and in the annotation \`portcullis.dev/event\`.
- \`user\` is the user. \`impersonatedUser\` is the user that they act as with \`--as\`. The API server's own audit log has
  our service account as \`user\` and the user as \`impersonatedUser\`.

## Requests

Each request has one event at its end (\`ResponseComplete\`). A long-running request (a watch, exec, attach, port-forward,
proxy, and logs that are followed) has another one when its response begins (\`ResponseStarted\`). A request that may
change something has one before that (\`RequestReceived\`), written
[before the API server gets it](../audit.md#before-a-change-is-made), without \`responseStatus\`. If no event with the
same \`auditID\` follows it, the request was begun and its outcome is unknown.

Differences from the API server's own event of the same request:

- \`user\`, \`impersonatedUser\`: here the user, and the user that they act as; there our service account, and the user.
- \`user.groups\`: here as they are mapped; there also \`system:authenticated\`.
- \`objectRef.name\` of a created object, \`uid\`, \`resourceVersion\`: absent here, because they are in the body, which is
  not read; there from the body.
- \`responseStatus\` of a request that the cluster rejected: here \`code\`; there the whole Status.
- \`responseStatus\` of a request that Portcullis rejected: here \`code\`, \`reason\`, \`message\`, \`status\`; there no event,
  because the request did not get there.
- \`requestURI\`: here values that can be secrets are \`REDACTED\` and exec's \`command\` is counted; there as received.
- \`sourceIPs\`: here the client, as Portcullis saw it; there the client, as Portcullis reports it.
- Stage \`RequestReceived\`: here for requests that may change something; there by its own policy.
- Stages of \`pods/log\` without \`follow\`: here \`ResponseComplete\`; there also \`ResponseStarted\`.
- Allowed reads of \`/livez\`, \`/readyz\`, \`/version\`, \`/openapi\`: here no event; there by its own policy.
- \`annotations\`: here those below; there \`authorization.k8s.io/…\` and others of its own.
`;

/** Returns the page. */
export function auditReference(): string {
  const entries = Object.entries(PORTCULLIS_EVENTS) as [string, CatalogueEntry][];
  const chapters = [...new Set(entries.map(([, { chapter }]) => chapter))];
  return [
    HEAD,
    '## Annotations of a request',
    '',
    factList(REQUEST_FACTS),
    '',
    '## Annotations of every event',
    '',
    factList(CHAIN_FACTS),
    '',
    '# Events of Portcullis itself',
    '',
    ...chapters.flatMap((chapter) => [
      `## ${chapter}`,
      '',
      ...entries.filter(([, entry]) => entry.chapter === chapter).flatMap(([name, entry]) => section(name, entry)),
    ]),
    '# Annotations',
    '',
    'Each begins with `portcullis.dev/`, and is only present if it has a value.',
    '',
    factList(Object.keys(AUDIT_FACTS) as AuditFact[]),
    '',
  ].join('\n');
}

const section = (name: string, { when, code, facts }: CatalogueEntry): readonly string[] => [
  `### ${name}`,
  '',
  wrapped(`When ${when}.`),
  '',
  wrapped(`Code: ${code}.`),
  '',
  wrapped(`Annotations: ${facts.map((fact) => `\`${fact}\``).join(', ')}.`),
  '',
];

const factList = (facts: readonly AuditFact[]): string =>
  facts.map((fact) => entry(fact, `${AUDIT_FACTS[fact]}.`)).join('\n');

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = auditReference();
  const before = readFileSync(AUDIT_REFERENCE, { encoding: 'utf8', flag: 'a+' });
  if (before !== text) writeFileSync(AUDIT_REFERENCE, text);
  console.log(`${AUDIT_REFERENCE} ${before === text ? 'is up to date' : 'is written'}`);
}
