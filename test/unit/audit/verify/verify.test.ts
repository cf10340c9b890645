import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { startAnchors } from '../../../../src/audit/audit.ts';
import { CHECKPOINT_LINES, hashOf } from '../../../../src/audit/chain/chain-facts.ts';
import { formatVerdict } from '../../../../src/audit/verify/report.ts';
import { verifyAuditLog, type VerifyOptions } from '../../../../src/audit/verify/verify.ts';
import { aFolder, anEvent, LogLines, range } from '../fixtures.ts';
import { aKey, Instance, publicKeys, type RecordLine } from './audit-fixture.ts';
import { cpuClock } from '../../../support/cpu-time.ts';

const key = aKey();

async function verified(
  files: Readonly<Record<string, readonly (RecordLine | string)[]>>,
  options: Partial<VerifyOptions> = {},
) {
  const folder = await aFolder();
  const paths = Object.entries(files).map(([name, lines]) => {
    const content = lines.map((line) => `${typeof line === 'string' ? line : line.text}\n`).join('');
    writeFileSync(join(folder, name), name.endsWith('.gz') ? gzipSync(content) : content);
    return join(folder, name);
  });
  return verifyAuditLog({ files: paths, keys: publicKeys(key), ...options });
}

/** A whole chain: opened, so many requests, closed. */
function whole(requests: number, instance = new Instance(key, 'portcullis-0')): RecordLine[] {
  return [instance.open(), ...range(requests).map((n) => instance.request(n)), instance.signed('audit-closed')];
}

const kinds = ({ findings }: Awaited<ReturnType<typeof verified>>) => findings.map(({ kind, seq }) => ({ kind, seq }));

describe('verifyRecord', () => {
  it('says nothing against a whole chain, and needs no anchor for it', async () => {
    const verdict = await verified({ 'audit.log': whole(5) });
    expect(verdict).toMatchObject({
      proven: true,
      notes: [],
      chains: [{ first: 1, last: 7, provenTo: 7, ended: true }],
    });
  });

  it('does not believe lines that were written again without the key, hashes and all', async () => {
    const mallory = aKey(key.kid);
    const verdict = await verified({ 'audit.log': whole(5, new Instance(mallory, 'portcullis-0')) });
    expect(kinds(verdict)).toContainEqual({ kind: 'edited', seq: 1 });
  });

  it('does not believe a key that it was not given', async () => {
    const verdict = await verified({ 'audit.log': whole(5, new Instance(aKey('other'), 'portcullis-0')) });
    expect(kinds(verdict)).toEqual([{ kind: 'unsigned', seq: 1 }]);
    expect(formatVerdict(verdict)).toContain('key that was not given (other)');
  });

  it('goes on over a key that was replaced, while its public half is given', async () => {
    const next = aKey('audit-2');
    const files = { 'audit.log': [...whole(3), ...whole(3, new Instance(next, 'portcullis-0'))] };
    expect(await verified(files)).toMatchObject({ proven: false });
    expect(await verified(files, { keys: publicKeys(key, next) })).toMatchObject({ proven: true });
  });

  it('finds a closing line that was made of a checkpoint to hide a cut', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), instance.request(1), instance.signed('audit-checkpoint')];
    const forged = (lines[2]?.text ?? '').replaceAll('audit-checkpoint', 'audit-closed');
    expect(kinds(await verified({ 'audit.log': [...lines.slice(0, 2), forged] }))).toEqual([
      { kind: 'edited', seq: 3 },
    ]);
  });

  it('finds more lines without a signature than any replica writes', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const few = [instance.open(), ...range(CHECKPOINT_LINES).map((n) => instance.request(n))];
    expect((await verified({ 'audit.log': few })).proven).toBe(true);
    expect(kinds(await verified({ 'audit.log': [...few, instance.request(1)] }))).toEqual([
      { kind: 'unsigned', seq: 2 },
    ]);
  });

  it('does not believe a chain of which no line is signed, however well its hashes fit', async () => {
    const forger = new Instance(aKey(), 'portcullis-0');
    forger.open();
    const forged = range(900).map((n) => forger.request(n));
    const planted = await verified({ 'audit.log': [...whole(3), ...forged] });
    expect(kinds(planted)).toEqual([{ kind: 'unsigned', seq: 2 }]);
    expect(planted.proven).toBe(false);
    // What is kept elsewhere knows a chain that begins in an older file.
    const instance = new Instance(key, 'portcullis-0');
    instance.open();
    const files = { 'audit.log': range(3).map((n) => instance.request(n)) };
    expect((await verified(files)).proven).toBe(false);
    expect(await verified(files, { anchors: [await instance.anchor()] })).toMatchObject({ proven: true });
  });

  it('finds lines behind the closing line', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = whole(2, instance);
    expect(kinds(await verified({ 'audit.log': [...lines, instance.request(1)] }))).toEqual([
      { kind: 'inserted', seq: 5 },
    ]);
  });

  it('tells a gap that was declared from a removal, and one sink’s from another’s', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), ...range(10).map((n) => instance.request(n))];
    const facts = { sink: '/var/log/audit.log', first: '4', last: '6', count: '2' };
    const kept = [...lines, instance.plain('audit-gap', facts), instance.signed('audit-closed')].filter(
      ({ seq }) => seq !== 4 && seq !== 6,
    );
    const good = await verified({ 'audit.log.2026-01-01T00-00-00.000Z': kept });
    expect(good).toMatchObject({ proven: true });
    expect(good.notes.filter(({ kind }) => kind === 'gap')).toHaveLength(2);
    expect(kinds(await verified({ 'other.log': kept }))).toHaveLength(2);
    expect((await verified({ 'other.log': kept }, { sink: '/var/log/audit.log' })).proven).toBe(true);
    // One more than was declared.
    expect(kinds(await verified({ 'audit.log': kept.filter(({ seq }) => seq !== 5) }))).toHaveLength(1);
  });

  it('believes a gap only where Portcullis itself has verified the line that declares it', async () => {
    const sink = { sink: '/var/log/audit.log', first: '4', last: '8', count: '5' };
    const taken = ({ seq }: RecordLine): boolean => seq >= 4 && seq <= 8;
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), ...range(10).map((n) => instance.request(n)), instance.signed('audit-checkpoint')];
    const anchors = [await instance.anchor()];
    // Behind the last signature and the last anchor anyone can write on.
    const forged = [...lines, instance.plain('audit-gap', sink)].filter((line) => !taken(line));
    const next = new Instance(key, 'portcullis-0');
    const extended = [...forged, next.open(instance.head), next.signed('audit-closed')];
    for (const file of [forged, extended]) {
      const verdict = await verified({ 'audit.log': file }, { anchors });
      expect(kinds(verdict)).toEqual([{ kind: 'removed', seq: 9 }]);
      expect(formatVerdict(verdict)).toContain('line 13 declares that this sink lost them');
    }
    // In a hole of its own it is linked to nothing that is signed.
    const lone = new Instance(aKey(), 'portcullis-0');
    range(5).forEach((n) => lone.request(n));
    const { text } = lone.plain('audit-gap', sink);
    const placed = { chain: instance.head.chain, seq: 6, text: text.replaceAll(lone.head.chain, instance.head.chain) };
    const split = [...lines.slice(0, 3), placed, ...lines.slice(8)];
    expect(kinds(await verified({ 'audit.log': split }, { anchors }))).toEqual([
      { kind: 'removed', seq: 6 },
      { kind: 'removed', seq: 9 },
    ]);
  });

  it('believes a gap that is signed itself, whatever was lost behind it', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), ...range(5).map((n) => instance.request(n))];
    const gap = instance.signed('audit-gap', { sink: '/var/log/audit.log', first: '3', last: '4', count: '2' });
    const kept = [...lines, gap].filter(({ seq }) => seq !== 3 && seq !== 4);
    expect(await verified({ 'audit.log': kept })).toMatchObject({ proven: true, chains: [{ provenTo: 7 }] });
    const forged = kept.map((line) => (line === gap ? gap.text.replace('"3"', '"2"') : line));
    expect((await verified({ 'audit.log': forged })).proven).toBe(false);
  });

  it('says which lines before a gap nothing links to a signature', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), ...range(9).map((n) => instance.request(n))];
    const facts = { sink: '/var/log/audit.log', first: '5', last: '8', count: '3' };
    const kept = [...lines, instance.signed('audit-gap', facts), instance.signed('audit-closed')].filter(
      ({ seq }) => ![5, 6, 8].includes(seq),
    );
    // A line that hangs in the air can be replaced by any other.
    const planted = anEvent({
      annotations: {
        'portcullis.dev/chain': instance.head.chain,
        'portcullis.dev/seq': '7',
        'portcullis.dev/prev': hashOf(Buffer.from('of nothing')),
      },
    });
    const file = kept.map((line) => (line.seq === 7 ? JSON.stringify(planted) : line));
    const { notes } = await verified({ 'audit.log': file });
    expect(notes.filter(({ kind }) => kind === 'limit').map(({ message }) => message)).toEqual([
      'lines 2 to 4 cannot be proven: nothing links them to a signature, because the lines behind them were lost',
      'line 7 cannot be proven: nothing links it to a signature, because the lines behind it were lost',
    ]);
  });

  it('takes what a sink wrote once more after a failure, and a file beside its compressed self, for no tampering', async () => {
    const lines = whole(10);
    const again = [...lines.slice(0, 8), ...lines.slice(4)];
    expect(await verified({ 'audit.log': again })).toMatchObject({ proven: true, notes: [{ kind: 'repeated' }] });
    for (const from of [4, 0]) {
      const rotated = { 'audit.log.1': lines.slice(0, 8), 'audit.log': lines.slice(from) };
      expect(await verified(rotated)).toMatchObject({ proven: true, notes: [{ kind: 'repeated' }] });
    }
    const twins = {
      'audit.log.1': lines.slice(0, 8),
      'audit.log.1.gz': lines.slice(0, 8),
      'audit.log': lines.slice(8),
    };
    expect(await verified(twins)).toMatchObject({ proven: true, notes: [{ kind: 'repeated' }] });
  });

  it('names a line that is none, an event in no chain, and damage in a compressed file', async () => {
    const lines = whole(4);
    const odd = [
      ...lines.slice(0, 2),
      'nothing of ours',
      ...lines.slice(2, 4),
      JSON.stringify(anEvent()),
      ...lines.slice(4),
    ];
    expect((await verified({ 'audit.log': odd })).findings).toMatchObject([
      { kind: 'unreadable', line: 3 },
      { kind: 'inserted', line: 6 },
    ]);
    const path = join(await aFolder(), 'audit.log.gz');
    const packed = gzipSync(lines.map(({ text }) => `${text}\n`).join(''));
    packed.fill(0, packed.length - 12, packed.length - 4);
    writeFileSync(path, packed);
    expect((await verifyAuditLog({ files: [path], keys: publicKeys(key) })).findings).toMatchObject([
      { kind: 'unreadable' },
    ]);
  });

  it('finds a line that was cut short in the middle, where no crash could have torn it', async () => {
    const lines = whole(4);
    const torn = lines.map((line, index) => (index === 2 ? line.text.slice(0, 150) : line));
    expect((await verified({ 'audit.log': torn })).findings).toMatchObject([
      { kind: 'unreadable', line: 3 },
      { kind: 'removed', line: 4, seq: 4 },
    ]);
  });

  it('finds by the next chain that the one before it was cut, or taken out whole', async () => {
    const [first, second] = [new Instance(key, 'portcullis-0'), new Instance(key, 'portcullis-0')];
    const old = [first.open(), first.request(1), first.request(2)];
    const rest = [second.open(first.head), second.signed('audit-closed')];
    expect((await verified({ 'audit.log': [...old, ...rest] })).notes).toEqual([]);
    expect(kinds(await verified({ 'audit.log': [...old.slice(0, 2), ...rest] }))).toEqual([{ kind: 'cut', seq: 2 }]);
    const outsider = whole(1);
    const swapped = await verified({ 'audit.log': [...outsider, ...rest] });
    expect(kinds(swapped)).toEqual([{ kind: 'missing-chain', seq: undefined }]);
    expect((await verified({ 'audit.log': rest })).notes).toMatchObject([{ kind: 'limit', line: 1 }]);
  });

  it('believes an anchor that is signed, and the head that a webhook’s server kept, and no other', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), instance.request(1), instance.request(2)];
    const anchor = await instance.anchor();
    const { chain, seq, hash } = instance.head;
    const cut = { 'audit.log': lines.slice(0, 2) };
    for (const given of [anchor, `Portcullis-Audit-Head: chain=${chain}; seq=${seq}; hash=${hash}`]) {
      expect(kinds(await verified(cut, { anchors: [given] }))).toEqual([{ kind: 'cut', seq: 2 }]);
      expect(await verified({ 'audit.log': lines }, { anchors: [given] })).toMatchObject({ chains: [{ provenTo: 3 }] });
    }
    const forged = await new Instance(aKey(key.kid), 'portcullis-0').anchor();
    expect(kinds(await verified({ 'audit.log': lines }, { anchors: [forged] }))).toEqual([{ kind: 'anchor' }]);
  });

  it('misses no replica that it was not asked about', async () => {
    const instance = new Instance(key, 'portcullis-1');
    whole(1, instance);
    const anchors = [await instance.anchor()];
    const files = { 'audit.log': whole(3) };
    expect(kinds(await verified(files, { anchors }))).toEqual([{ kind: 'missing-chain' }]);
    expect(await verified(files, { anchors, replica: 'portcullis-0' })).toMatchObject({ proven: true });
  });

  it('is done in moments with a file in which every line was tampered with, and leaves out one that is being compressed', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open(), ...range(20_000).map((n) => instance.request(n))];
    const spent = cpuClock();
    const halved = await verified({
      'audit.log': lines.filter(({ seq }) => seq % 2 === 1),
      'audit.log.1.gz.tmp': ['x'],
    });
    expect(halved.findings.filter(({ kind }) => kind === 'removed')).toHaveLength(10_000);
    expect(halved.notes).toContainEqual(
      expect.objectContaining({ kind: 'torn', message: expect.stringContaining('ignored') }),
    );
    const doubled = await verified({ 'audit.log': lines.flatMap((line) => [line, line]) });
    expect(doubled.notes.filter(({ kind }) => kind === 'repeated')).toHaveLength(20_001);
    expect(formatVerdict(doubled).split('\n').length).toBeLessThan(250);
    expect(spent()).toBeLessThan(15_000);
  });

  it('is done in moments with a week of heads that a webhook’s server has kept', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const lines = [instance.open()];
    const head = (): string => `chain=${instance.head.chain}; seq=${instance.head.seq}; hash=${instance.head.hash}`;
    const anchors = range(200_000).map(head);
    lines.push(instance.signed('audit-closed'));
    const spent = cpuClock();
    expect(await verified({ 'audit.log': lines }, { anchors })).toMatchObject({ proven: true });
    expect(spent()).toBeLessThan(5000);
  });

  it('says what a file says as plain characters', async () => {
    const instance = new Instance(key, 'portcullis\u001b[31m');
    const told = formatVerdict(await verified({ 'audit.log': whole(1, instance) }));
    expect(told).not.toContain('\u001b');
    expect(told).toMatch(/PROVEN/);
  });
});

describe('startAnchors', () => {
  it('anchors the head while it moves, tries again where it could not, and anchors the end', async () => {
    const instance = new Instance(key, 'portcullis-0');
    const kept: string[] = [];
    let away = true;
    const store = {
      put: async (_chain: string, anchor: string) => {
        if (away) throw new Error('away');
        kept.push(anchor);
      },
    };
    const logger = new LogLines();
    const lines = [instance.open()];
    const stop = startAnchors({
      trail: {
        get head() {
          return instance.head;
        },
        flush: async () => {},
      },
      key,
      replica: 'portcullis-0',
      store,
      logger,
      everyMs: 1,
    });
    await expect.poll(() => logger.lines.length).toBe(1);
    away = false;
    await expect.poll(() => kept.length).toBe(1);
    lines.push(instance.signed('audit-closed'));
    await stop();
    expect(kept.length).toBe(2);
    expect(kinds(await verified({ 'audit.log': lines.slice(0, 1) }, { anchors: kept.slice(1) }))).toEqual([
      { kind: 'cut', seq: 1 },
    ]);
    expect(logger.lines).toHaveLength(1);
  });
});
