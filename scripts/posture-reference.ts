/**
 * Writes docs/posture/README.md, and the head of each rule's page, from the catalogue: `node scripts/posture-reference.ts`. A unit test
 * compares them. What stands below a page's head is written by hand.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KINDS, type Kind } from '../src/posture/rules/kinds.ts';
import { RULES, type Rule } from '../src/posture/rules/rules.ts';

export const POSTURE_PAGES = fileURLToPath(new URL('../docs/posture/', import.meta.url));

export const REGENERATE_POSTURE = 'node scripts/posture-reference.ts';

const BY_HAND = '<!-- Below is written by hand. -->';

const INDEX_HEAD = `# The rules of \`portcullis posture\`

<!-- Written by \`${REGENERATE_POSTURE}\` from the catalogue itself. Do not edit. -->

What the command does, its options and its waivers: [posture](../posture.md).

| Rule | Severity | What it finds |
|---|---|---|
`;

const INDEX_KINDS = `
## What is read

Each kind is listed once, in all namespaces, in pages of 500. Who may list them all gets every rule judged.

| Kind | Path | For |
|---|---|---|
`;

/** The index. */
export function postureIndex(): string {
  const rules = RULES.map(({ id, severity, title }) => `| [\`${id}\`](${id}.md) | ${severity} | ${title} |`);
  const kinds = (Object.keys(KINDS) as Kind[]).map((kind) => {
    const needing = RULES.filter(({ reads }) => reads.includes(kind)).map(({ id }) => `\`${id}\``);
    const { path, query, metadataOnly } = KINDS[kind];
    const how = metadataOnly ? ', the metadata only' : '';
    return `| ${kind} | \`${path}${query === '' ? '' : `?${decodeURIComponent(query)}`}\`${how} | ${needing.join(', ')} |`;
  });
  return `${INDEX_HEAD}${rules.join('\n')}\n${INDEX_KINDS}${kinds.join('\n')}\n`;
}

export function pageHead({ id, title, severity, why, fix, reads }: Rule): string {
  const kinds = reads.length === 0 ? 'nothing of the cluster' : reads.map((kind) => `\`${kind}\``).join(', ');
  return `# ${title}

<!-- Down to the next comment written by \`${REGENERATE_POSTURE}\`. -->

Rule \`${id}\`, severity **${severity}**; reads ${kinds}.

**Why.** ${why}

**What mends it.** ${fix}

${BY_HAND}
`;
}

/** A page with its head as the catalogue has it. @param page as it is; empty where there is none yet */
export function withHead(rule: Rule, page: string): string {
  const [, body = ''] = page.split(`${BY_HAND}\n`);
  return `${pageHead(rule)}${body}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(`${POSTURE_PAGES}README.md`, postureIndex());
  for (const rule of RULES) {
    const file = `${POSTURE_PAGES}${rule.id}.md`;
    writeFileSync(file, withHead(rule, existsSync(file) ? readFileSync(file, 'utf8') : ''));
  }
}
