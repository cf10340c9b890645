import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { assert, asyncProperty, infiniteStream, nat } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyAuditLog } from '../../../../src/audit/verify/verify.ts';
import type { Finding, Note, Verdict } from '../../../../src/audit/verify/verdict.ts';
import { anEvent } from '../fixtures.ts';
import { aKey, aRecord, filesIn, publicKeys, type RecordLine, type TestRecord } from './audit-fixture.ts';

const RUNS = 60;

type Choose = (below: number) => number;

/** Lines that a tampering was about, or null where the choices left nothing to do. */
type Tampering = (
  record: TestRecord,
  choose: Choose,
) => readonly RecordLine[] | null | Promise<readonly RecordLine[] | null>;

/** Verifies a record after `tamper`; the judge gets what came of it. */
function withEveryRecord(
  tamper: Tampering,
  judge: (verdict: Verdict, touched: readonly RecordLine[]) => void,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-verify-'));
  const property = asyncProperty(infiniteStream(nat({ max: 1_000_000 })), async (numbers) => {
    const choose = (below: number): number => Number(numbers.next().value) % below;
    const record = await aRecord(choose);
    const touched = await tamper(record, choose);
    if (touched === null) return;
    // In place of the files before, of which only those that are named are read.
    const files = filesIn(folder, record.files);
    const verdict = await verifyAuditLog({ files, keys: publicKeys(record.key), anchors: record.anchors });
    for (const one of [...verdict.findings, ...verdict.notes]) standsThere(one);
    judge(verdict, touched);
  });
  return assert(property, { numRuns: RUNS }).finally(() => rmSync(folder, { recursive: true, force: true }));
}

/** A place that is named holds the line that is named. */
function standsThere({ file, line, seq, chain }: Finding | (Note & { readonly seq?: number })): void {
  if (file === undefined || line === undefined || seq === undefined || chain === undefined) return;
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().split('\n')[line - 1] ?? '';
  expect(text).toContain(`"portcullis.dev/chain":"${chain}","portcullis.dev/seq":"${seq}"`);
}

/** By its number or by the one beside it; a chain that lacks its beginning or its end is named as such. */
const names = (one: Finding | Note, { chain, seq }: RecordLine): boolean =>
  one.chain === chain &&
  ('seq' in one && one.seq !== undefined
    ? Math.abs(one.seq - seq) <= 1 || ['cut', 'removed'].includes(one.kind)
    : one.kind === 'missing-chain' || / begins? with line /.test(` ${one.message}`));

const isFound = (verdict: Verdict, touched: readonly RecordLine[]): boolean =>
  [...verdict.findings, ...verdict.notes.filter(({ kind }) => kind === 'limit')].some((one) =>
    touched.some((line) => names(one, line)),
  );

function anyLine({ files }: TestRecord, choose: Choose): { readonly lines: RecordLine[]; readonly at: number } {
  const lines = files[choose(files.length)] ?? [];
  return { lines, at: choose(lines.length) };
}

const edit: Tampering = (record, choose) => {
  const { lines, at } = anyLine(record, choose);
  const line = lines[at];
  if (line === undefined) return null;
  const place = choose(line.text.length);
  const other = line.text[place] === 'x' ? 'y' : 'x';
  lines[at] = { ...line, text: `${line.text.slice(0, place)}${other}${line.text.slice(place + 1)}` };
  return [line];
};

const remove: Tampering = (record, choose) => {
  const { lines, at } = anyLine(record, choose);
  return lines.splice(at, 1 + choose(3));
};

const reorder: Tampering = (record, choose) => {
  const { lines, at } = anyLine(record, choose);
  const same = lines.flatMap(({ chain }, index) => (chain === lines[at]?.chain && index !== at ? [index] : []));
  const other = same[choose(same.length)];
  const [a, b] = [lines[at], lines[other ?? -1]];
  if (a === undefined || b === undefined || other === undefined) return null;
  [lines[at], lines[other]] = [b, a];
  return [a, b];
};

const cutTail: Tampering = (record, choose) => {
  const { chain } = record.instances[choose(record.instances.length)]?.head ?? {};
  const all = record.files.flat().filter((line) => line.chain === chain);
  const cut = all.slice(-1 - choose(5));
  record.files.forEach((lines, index) => (record.files[index] = lines.filter((line) => !cut.includes(line))));
  return cut;
};

const swapFile: Tampering = async (record, choose) => {
  // Of the same replica, at another time, and whole: every line of it is good.
  const other = await aRecord(choose, record.key);
  const at = choose(record.files.length);
  const taken = record.files[at] ?? [];
  record.files[at] = other.files.flat();
  return taken;
};

const duplicate: Tampering = (record, choose) => {
  const { lines, at } = anyLine(record, choose);
  const line = lines[at];
  const to = choose(lines.length + 1);
  // Beside itself it is what a sink does after a failure; it is told of, and no tampering.
  const between = lines.slice(Math.min(to, at + 1), Math.max(to, at));
  if (line === undefined || !between.some(({ chain }) => chain === line.chain)) return null;
  lines.splice(to, 0, line);
  return [line];
};

const insert: Tampering = (record, choose) => {
  const { lines, at } = anyLine(record, choose);
  const before = lines[at];
  if (before === undefined) return null;
  const forged = JSON.stringify(
    anEvent({
      auditID: 'forged',
      annotations: {
        'portcullis.dev/chain': before.chain,
        'portcullis.dev/seq': String(before.seq + 1),
        'portcullis.dev/prev': /prev":"([0-9a-f]{64})/.exec(lines[at + 1]?.text ?? before.text)?.[1] ?? '',
      },
    }),
  );
  const line = { chain: before.chain, seq: before.seq + 1, text: forged };
  lines.splice(at + 1, 0, line);
  return [line];
};

describe('verifyRecord, whatever the audit log', () => {
  it('proves one that no one has touched', { timeout: 60_000 }, async () => {
    await withEveryRecord(
      () => [],
      ({ proven, findings, chains }) => {
        expect(findings).toEqual([]);
        expect(proven).toBe(true);
        expect(chains.map(({ last, provenTo }) => last - provenTo)).toEqual([0, 0, 0]);
      },
    );
  });

  it(
    'proves one of which a sink wrote a part once more, because it could not know how far it had come',
    { timeout: 60_000 },
    async () => {
      await withEveryRecord(
        ({ files }, choose) => {
          const at = choose(files.length);
          const lines = files[at] ?? [];
          const to = 1 + choose(lines.length);
          const again = lines.slice(choose(to), to);
          // In the same file, or, where it had come to the end of one, in the next.
          if (to === lines.length && choose(2) === 0) files[at + 1]?.unshift(...again);
          else lines.splice(to, 0, ...again);
          return again;
        },
        ({ proven, findings }) => {
          expect(findings).toEqual([]);
          expect(proven).toBe(true);
        },
      );
    },
  );

  it.each<readonly [string, Tampering]>([
    ['an edit', edit],
    ['a removal', remove],
    ['a reorder', reorder],
    ['a tail that was cut', cutTail],
    ['a file in whose place another one was put', swapFile],
    ['a line that stands in another place as well', duplicate],
    ['a line that was put in', insert],
  ])('finds %s, and where', { timeout: 60_000 }, async (_, tamper) => {
    await withEveryRecord(tamper, (verdict, touched) => {
      const told = JSON.stringify({ touched: touched.map(({ chain, seq }) => ({ chain, seq })), verdict });
      expect(isFound(verdict, touched), told).toBe(true);
    });
  });

  it('takes no record of someone else’s for its own', { timeout: 60_000 }, async () => {
    await withEveryRecord(
      async (record, choose) => {
        const other = await aRecord(choose, aKey());
        record.files.push(...other.files);
        return [];
      },
      ({ findings }) => expect(findings.filter(({ kind }) => kind === 'edited').length).toBeGreaterThan(0),
    );
  });
});
