/**
 * Writes docs/posture/README.md, and the head of each rule's page, from the catalogue: `node scripts/posture-reference.ts`.
 * A unit test compares them. The text below a page's head is written manually.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KINDS, type Kind } from '../src/posture/rules/kinds.ts';
import { RULES, SEVERITIES, type Rule, type Severity } from '../src/posture/rules/rules.ts';

export const POSTURE_PAGES = fileURLToPath(new URL('../docs/posture/', import.meta.url));

export const REGENERATE_POSTURE = 'node scripts/posture-reference.ts';

const MANUAL = '<!-- Below is written by hand. -->';

const INDEX_HEAD = `# The rules of \`portcullis posture\`

<!-- Written by \`${REGENERATE_POSTURE}\` from the catalogue itself. Do not edit. -->

The command, its options and its waivers: [posture](../posture.md).
`;

const INDEX_KINDS = `
## What is read

Each kind is listed once, in all namespaces, in pages of 500. A user who may list them all gets every rule evaluated.

`;

const MEANING: Readonly<Record<Severity, string>> = { high: 'High', medium: 'Medium', low: 'Low' };

/** Returns the index: the rules by severity, then the kinds with the rules that read them. */
export function postureIndex(): string {
  const rules = SEVERITIES.map((severity) => {
    const ofSeverity = RULES.filter((rule) => rule.severity === severity);
    const lines = ofSeverity.map(({ id, title }) => `- [\`${id}\`](${id}.md): ${title}`);
    return `\n## ${MEANING[severity]}\n\n${lines.join('\n')}\n`;
  });
  const kinds = (Object.keys(KINDS) as Kind[]).map((kind) => {
    const { path, query, metadataOnly } = KINDS[kind];
    const how = metadataOnly ? ', the metadata only' : '';
    return `- ${kind}: \`${path}${query === '' ? '' : `?${decodeURIComponent(query)}`}\`${how}\n  ${rulesThatRead(kind)}`;
  });
  return `${INDEX_HEAD}${rules.join('')}${INDEX_KINDS}${kinds.join('\n')}\n`;
}

/** Returns the ids of the rules, in lines that fit. */
const rulesThatRead = (kind: Kind): string =>
  wrapped(
    `for ${RULES.filter(({ reads }) => reads.includes(kind))
      .map(({ id }) => `\`${id}\``)
      .join(', ')}`,
    '  ',
  );

const WIDTH = 118;

/** Breaks a text at blanks into lines of at most `WIDTH` columns. */
function wrapped(text: string, indent = ''): string {
  const lines = [''];
  for (const part of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line === '') lines[lines.length - 1] = part;
    else if (indent.length + line.length + 1 + part.length > WIDTH) lines.push(part);
    else lines[lines.length - 1] = `${line} ${part}`;
  }
  return lines.join(`\n${indent}`);
}

export function pageHead({ id, title, severity, why, fix, reads }: Rule): string {
  const kinds = reads.length === 0 ? 'nothing of the cluster' : reads.map((kind) => `\`${kind}\``).join(', ');
  return `# ${title}

<!-- Down to the next comment written by \`${REGENERATE_POSTURE}\`. -->

${wrapped(`Rule \`${id}\`, severity **${severity}**; reads ${kinds}.`)}

${wrapped(`**Why.** ${why}`)}

${wrapped(`**Fix.** ${fix}`)}

${MANUAL}
`;
}

/** Returns a page with the head from the catalogue. @param page the present text; empty where there is none yet */
export function withHead(rule: Rule, page: string): string {
  const [, body = ''] = page.split(`${MANUAL}\n`);
  return `${pageHead(rule)}${body}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(`${POSTURE_PAGES}README.md`, postureIndex());
  for (const rule of RULES) {
    const file = `${POSTURE_PAGES}${rule.id}.md`;
    writeFileSync(file, withHead(rule, existsSync(file) ? readFileSync(file, 'utf8') : ''));
  }
}
