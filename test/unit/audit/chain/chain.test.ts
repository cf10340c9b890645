import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAuditTrail } from '../../../../src/audit/audit.ts';
import type { ChainedLine } from '../../../../src/audit/chain/chain.ts';
import { CHAIN_SEED, CHECKPOINT_LINES, chainFacts, hashOf } from '../../../../src/audit/chain/chain-facts.ts';
import { ChainWriter, type ChainSettings } from '../../../../src/audit/chain/chain-writer.ts';
import { previousChainHead } from '../../../../src/audit/chain/previous-chain.ts';
import { verifyAuditLog } from '../../../../src/audit/verify/verify.ts';
import { aFolder, anEvent, numbered, range } from '../fixtures.ts';
import { aKey, publicKeys } from '../verify/audit-fixture.ts';

const key = aKey();

function keeper(change: Partial<ChainSettings> = {}) {
  const lines: ChainedLine[] = [];
  const kept = new ChainWriter({ replica: 'portcullis-0', key, ...change }, (line) => lines.push(line));
  const texts = () => lines.map(({ line }) => line.toString().trimEnd());
  const events = () => texts().map((text) => chainFacts(Buffer.from(text))?.event ?? 'request');
  return { kept, lines, texts, events };
}

describe('a chain', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('gives each line the next number and the hash of the one before', () => {
    const { kept, texts } = keeper();
    for (const n of range(5)) kept.append(numbered(n));
    kept.close();
    const lines = texts().map((text) => Buffer.from(text));
    expect(lines.map((line) => chainFacts(line)?.seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const hashes = [CHAIN_SEED, ...lines.map(hashOf)];
    expect(lines.map((line) => chainFacts(line)?.prev)).toEqual(hashes.slice(0, -1));
    expect(kept.head).toMatchObject({ seq: 7, hash: hashes.at(-1) });
  });

  it('is signed after a thousand lines, however fast they come, and after ten seconds, however slow', () => {
    const { kept, events } = keeper();
    for (const n of range(CHECKPOINT_LINES)) kept.append(numbered(n));
    expect(events().at(-1)).toBe('audit-checkpoint');
    vi.advanceTimersByTime(60_000);
    expect(events()).toHaveLength(CHECKPOINT_LINES + 2);
    kept.append(numbered(0));
    vi.advanceTimersByTime(9_999);
    expect(events().at(-1)).toBe('request');
    vi.advanceTimersByTime(1);
    expect(events().at(-1)).toBe('audit-checkpoint');
  });

  it('has no checkpoints without a key, and is opened and closed all the same', () => {
    const { kept, events, texts } = keeper({ key: undefined });
    for (const n of range(CHECKPOINT_LINES + 1)) kept.append(numbered(n));
    kept.close();
    expect(new Set(events())).toEqual(new Set(['audit-opened', 'request', 'audit-closed']));
    expect(texts().join('')).not.toContain('signature');
  });

  it('declares what a sink lost, and once more where the sink lost that line too', () => {
    const { kept, texts } = keeper();
    const lost = { sink: '/log', chain: kept.head.chain };
    kept.declare({ ...lost, first: 2, last: 9, count: 8 });
    const declared = kept.head.seq;
    kept.append(numbered(1));
    kept.declare({ ...lost, first: declared, last: declared + 1, count: 2 });
    kept.declare({ ...lost, first: 40, last: 41, count: 2 });
    const gaps = texts().flatMap((text) => {
      const { annotations } = JSON.parse(text) as { annotations: Record<string, string> };
      const fact = (name: string): string => annotations[`portcullis.dev/${name}`] ?? '';
      return fact('event') === 'audit-gap' ? [`${fact('first')}-${fact('last')}: ${fact('count')}`] : [];
    });
    expect(gaps).toEqual(['2-9: 8', '2-3: 10', '40-41: 2']);
    const signed = texts().filter((text) => chainFacts(Buffer.from(text))?.signature !== undefined);
    expect(signed.filter((text) => text.includes('"audit-gap"'))).toHaveLength(3);
  });

  it('keeps the place of an event that is no JSON value for the next one', () => {
    const { kept, lines } = keeper();
    const broken = anEvent() as unknown as Record<string, unknown>;
    broken['user'] = broken;
    expect(() => kept.append(broken as never)).toThrow(TypeError);
    kept.append(numbered(1));
    expect(lines.map(({ seq }) => seq)).toEqual([1, 2]);
  });

  it('puts its facts last whatever the order of an event’s members is', () => {
    const { kept, texts } = keeper();
    const { annotations, ...rest } = anEvent({ annotations: { note: 'kept' } });
    kept.append({ annotations, ...rest });
    const text = texts().at(-1) ?? '';
    expect(chainFacts(Buffer.from(text))?.seq).toBe(2);
    expect(JSON.parse(text)).toMatchObject({ ...rest, annotations: { note: 'kept', 'portcullis.dev/seq': '2' } });
  });
});

describe('a trail with a chain', () => {
  const trailAt = (path: string) =>
    createAuditTrail({ sinks: [{ type: 'file', path }], onFailure: 'count', chain: { replica: 'portcullis-0', key } });

  it('heals behind a crash: the next chain names where the torn one ended', async () => {
    const path = join(await aFolder(), 'audit.log');
    const crashed = trailAt(path);
    for (const n of range(3)) crashed.record(numbered(n));
    await crashed.flush();
    const { head } = crashed;
    appendFileSync(path, '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Meta');
    const next = trailAt(path);
    next.record(numbered(9));
    await next.close();
    const { annotations } = JSON.parse(readFileSync(path, 'utf8').split('\n')[5] ?? '') as { annotations: object };
    expect(annotations).toMatchObject({
      'portcullis.dev/event': 'audit-opened',
      'portcullis.dev/previous-chain': head?.chain,
      'portcullis.dev/previous-seq': '4',
      'portcullis.dev/previous-hash': head?.hash,
    });
    const verdict = await verifyAuditLog({ files: [path], keys: publicKeys(key) });
    expect(verdict).toMatchObject({ proven: true, findings: [], notes: [{ kind: 'torn', line: 5 }] });
    // The first chain is proven by the second.
    expect(verdict.chains.map(({ ended }) => ended)).toEqual([true, true]);
    await crashed.close();
  });

  it('declares what a sink had to drop, so that the rest is proven', async () => {
    const folder = join(await aFolder(), 'late');
    const path = join(folder, 'audit.log');
    const trail = createAuditTrail({
      sinks: [{ type: 'file', path }],
      onFailure: 'count',
      chain: { replica: 'portcullis-0', key },
      limits: { queueBytes: 8 * 1024, retryMs: 5, retryMaxMs: 5 },
    });
    for (const n of range(50)) trail.record(numbered(n));
    mkdirSync(folder, { mode: 0o700 });
    await trail.flush();
    await vi.waitFor(() => expect(readFileSync(path, 'utf8')).toContain('"audit-gap"'));
    await trail.close();
    const { chains, ...verdict } = await verifyAuditLog({ files: [path], keys: publicKeys(key) });
    expect(verdict).toMatchObject({ proven: true, findings: [], notes: [{ kind: 'gap' }, { kind: 'limit' }] });
    expect(chains).toMatchObject([{ first: 1, last: 53, provenTo: 53, ended: true }]);
    expect(verdict.lines).toBeLessThan(53);
  });

  it.each([1_000_000, 1_100_000])(
    'names the end of the previous chain by its whole line, or not: %i bytes',
    async (size) => {
      const path = join(await aFolder(), 'audit.log');
      const long = trailAt(path);
      await long.flush();
      const { head } = long;
      const line = readFileSync(path, 'utf8').trimEnd();
      // What a sink would have written, had the event been as long.
      writeFileSync(path, `${line.replace('"annotations":{', `"more":"${'x'.repeat(size)}",$&`)}\n`);
      const read = previousChainHead(path);
      const hash = hashOf(readFileSync(path).subarray(0, -1));
      expect(read).toEqual(size < 2 ** 20 ? { ...head, hash } : undefined);
      await long.close();
    },
  );

  it('begins where there is no file yet, and where the path is no file', async () => {
    const folder = await aFolder();
    const path = join(folder, 'new.log');
    const trail = trailAt(path);
    await trail.close();
    expect(readFileSync(path, 'utf8')).not.toContain('previous-chain');
    const nowhere = trailAt('/dev/null');
    nowhere.record(numbered(1));
    await nowhere.close();
    expect(nowhere.head?.seq).toBe(3);
  });
});
