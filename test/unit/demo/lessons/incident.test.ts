import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureAuditKey } from '../../../../src/config/generate-keys.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { answer, forgetAnswers, readAnswered } from '../../../../demo/lessons/answers.ts';
import { incident } from '../../../../demo/lessons/incident.ts';
import { nightOf, plantNight, TRUTH } from '../../../../demo/lessons/night.ts';

const NOW = Date.parse('2026-11-26T09:30:00Z');
const night = nightOf(NOW);
const ofTheSession = night.filter((event) => event.annotations['portcullis.dev/session'] === TRUTH.session);

describe('the planted night', () => {
  it('is the day before, in its order', () => {
    const times = night.map((event) => event.stageTimestamp);
    expect(times.every((time) => time.startsWith('2026-11-25T'))).toBe(true);
    expect(times.toSorted()).toEqual(times);
  });

  it('has one session that was used from two addresses, first from the second one when the answer says', () => {
    const places = new Map<string | undefined, Set<string | undefined>>();
    for (const { annotations, sourceIPs } of night) {
      const session = annotations['portcullis.dev/session'];
      places.set(session, (places.get(session) ?? new Set()).add(sourceIPs[0]));
    }
    expect([...places].filter(([, from]) => from.size > 1).map(([session]) => session)).toEqual([TRUTH.session]);
    const first = ofTheSession.find(({ sourceIPs }) => sourceIPs[0] === TRUTH.from);
    expect(first?.stageTimestamp.slice(11, 16)).toBe(TRUTH.time);
    expect(first?.user.username).toBe(TRUTH.who);
  });

  it('has one secret that was read, after many that were not', () => {
    const secrets = ofTheSession.filter((event) => event.objectRef?.resource === 'secrets');
    const read = secrets.filter((event) => event.responseStatus?.code === 200);
    expect(read.map((event) => [event.objectRef?.name, event.impersonatedUser?.username])).toEqual([
      [TRUTH.read, TRUTH.as],
    ]);
    expect(secrets.length - read.length).toBeGreaterThan(12);
  });

  it('has one lock, by whom the answer says', () => {
    const locks = night.filter((event) => event.annotations['portcullis.dev/event'] === 'lock');
    expect(locks.map((event) => event.user.username)).toEqual([TRUTH.by]);
  });
});

describe('the files of the night', () => {
  it('are of the day before from their first line to their last, the lines of the audit log itself included', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
    try {
      await ensureAuditKey(join(folder, 'keys', 'audit'));
      await plantNight({ directory: folder }, NOW);
      const lines = (await readFile(join(folder, 'incident', 'portcullis.log'), 'utf8')).trim().split('\n');
      const times = lines.map((line) => (JSON.parse(line) as AuditEvent).stageTimestamp);
      expect(times).toHaveLength(night.length + 2);
      expect(times.every((time) => time.startsWith('2026-11-25T'))).toBe(true);
      expect(times.toSorted()).toEqual(times);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('an answer', () => {
  let folder: string;
  let said: string[];
  const give = (...pairs: readonly string[]): Promise<number> =>
    answer(folder, incident, { pairs, say: (line) => said.push(line) });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
    said = [];
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('that is right counts, in whatever case it was typed', async () => {
    expect(await give('who=Demo:Alice ', `from=${TRUTH.from}`)).toBe(0);
    expect([...(await readAnswered(folder, incident))]).toEqual(['who', 'from']);
  });

  it('that is wrong does not count, and gets a hint without the answer', async () => {
    for (const { name, right } of incident.questions ?? []) {
      said = [];
      expect(await give(`${name}=no-one`)).toBe(1);
      expect(said.join('\n')).toMatch(new RegExp(`^${name}: no\\. .{20}`));
      expect(said.join('\n')).not.toContain(right);
    }
    expect((await readAnswered(folder, incident)).size).toBe(0);
  });

  it('to what was not asked is wrong use, and names the questions', async () => {
    expect(await give('colour=green')).toBe(2);
    expect(said.join('\n')).toMatch(/who=… .*by=…/);
  });

  it.each([['who'], ['who', '=', 'demo:alice'], ['who=']])(
    'typed as %j is wrong use, and says how',
    async (...pairs) => {
      expect(await give(`from=${TRUTH.from}`, ...pairs)).toBe(2);
      expect(said.at(-1)).toMatch(/^"who=?" is no answer.*no blanks around =/);
      expect([...(await readAnswered(folder, incident))]).toEqual(['from']);
    },
  );

  it('is forgotten when the lesson begins again', async () => {
    await give('by=demo:root');
    await forgetAnswers(folder, incident);
    expect((await readAnswered(folder, incident)).size).toBe(0);
  });

  it('is kept beside the demo, where the lesson that runs sees it', async () => {
    await give('by=demo:root', 'who=no-one');
    expect(JSON.parse(await readFile(join(folder, 'lessons', '7.json'), 'utf8'))).toEqual({ by: 'demo:root' });
  });
});
