/** The catalogue of the audit log against the sources that write it, and against the page that is made from it. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { AUDIT_REFERENCE, auditReference, REGENERATE_AUDIT } from '../../../../scripts/audit-reference.ts';
import { AUDIT_FACTS, CHAIN_FACTS, REQUEST_FACTS } from '../../../../src/core/audit/annotations.ts';
import { PORTCULLIS_EVENTS, isPortcullisEventName, type CatalogueEntry } from '../../../../src/core/audit/catalogue.ts';

const root = fileURLToPath(new URL('../../../../src/', import.meta.url));

/** What can write to the audit log. The laptop writes none. */
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.startsWith('cli/'))
  .filter((name) => name !== 'core/audit/catalogue.ts' && name !== 'core/audit/annotations.ts')
  .map((name) => ({ name, text: readFileSync(`${root}${name}`, 'utf8') }));

const writing = sources.filter(({ text }) =>
  /portcullisEvent\(|\brecord\(|PortcullisEventName|#?write\(|\brecordServerEvent\(/.test(text),
);

/** Names of events as the sources spell them where they record one. */
const RECORDED =
  /\bevent(?::| =)[^;,\n]*|\b(?:recordServerEvent|audited)\([^)]*|triedAt[^]*?\n}|#(?:sign|event)\([^)]*|REFUSED = [^;]*/g;
const recorded = new Set(
  writing.flatMap(({ text }) =>
    [...text.matchAll(RECORDED)].flatMap(([piece]) => [...piece.matchAll(/'([a-z][a-z-]+)'/g)].map(([, word]) => word)),
  ),
);

const entries = Object.entries(PORTCULLIS_EVENTS) as [string, CatalogueEntry][];

describe('the catalogue of the audit log', () => {
  test('has no event that nothing records', () => {
    expect(entries.map(([name]) => name).filter((name) => !recorded.has(name))).toEqual([]);
  });

  test('has no annotation that no event and no request carries', () => {
    const carried = new Set<string>([
      'event',
      ...REQUEST_FACTS,
      ...CHAIN_FACTS,
      ...entries.flatMap(([, { facts }]) => facts),
    ]);
    expect(Object.keys(AUDIT_FACTS).filter((fact) => !carried.has(fact))).toEqual([]);
  });

  test('says each thing as text, and each fact of an event once', () => {
    for (const [name, { when, facts }] of entries) {
      expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(when.length, name).toBeGreaterThan(20);
      expect(new Set(facts).size, name).toBe(facts.length);
    }
    for (const [fact, text] of Object.entries(AUDIT_FACTS)) {
      expect(fact).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(text).not.toMatch(/[|\n]/);
    }
  });

  test('knows its names and no other', () => {
    expect(['sign-in', 'audit-gap', 'constructor', ''].map(isPortcullisEventName)).toEqual([true, true, false, false]);
  });
});

test('the reference page is what the catalogue says', () => {
  const text = `docs/reference/audit-events.md is out of date: ${REGENERATE_AUDIT}`;
  expect(readFileSync(AUDIT_REFERENCE, 'utf8') === auditReference(), text).toBe(true);
});
