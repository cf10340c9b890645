import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { Classroom, missing, stepsOf, type Step } from './lesson-page.ts';

const PAGES = [
  '1-signing-in.md',
  '2-tokens.md',
  '3-stolen-laptop.md',
  '4-least-privilege.md',
  '5-rotation.md',
  '6-drill-and-record.md',
  '7-incident.md',
  '8-a-right-for-a-while.md',
];

describe('a lesson', () => {
  let folder: string;
  let classroom: Classroom;
  const start: Step = {
    terminal: 'lesson',
    open: false,
    further: false,
    command: 'npm run demo -- --lesson 6',
    answers: [],
  };
  const answers: Step = { ...start, command: `${start.command} --answer verdict=tampered` };
  beforeEach(async () => {
    folder = await temporaryFolder();
    classroom = new Classroom(folder, await freePortBase());
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await classroom.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('has its folder and a cluster for itself while it runs, and accepts answers only then', async () => {
    // As in the shell of a user who develops controllers.
    vi.stubEnv('KUBEBUILDER_ASSETS', join(folder, 'assets'));
    const early = classroom.type(answers);
    expect(await early.ended, early.output).toBe(1);
    expect(early.output).toMatch(/^No lesson runs in .+: start it first\.$/m);

    const lesson = classroom.type(start);
    await lesson.until((output) => output.includes('To do:'));
    const second = classroom.type(start);
    expect(await second.ended, second.output).toBe(1);
    expect(second.output).toMatch(/A lesson runs in .+ already: .+\n.+--dir .+ --port-base/);
    expect(await classroom.type(answers).ended).toBe(0);
    await lesson.until((output) => output.includes('[x] answer verdict'));

    expect(await lesson.end('SIGINT')).toBe(1);
    expect(lesson.output).toMatch(/is not finished. Still open:\n {2}\[ \] /);
    const again = classroom.type(start);
    await again.until((output) => output.includes('To do:'));
    expect(again.output).not.toContain('[x]');
    await again.end('SIGINT');
  });
});

describe.each(PAGES)('the lesson of %s', (page) => {
  let folder: string;
  let classroom: Classroom;
  beforeEach(async () => {
    folder = await temporaryFolder();
    await mkdir(join(folder, 'demo'));
    classroom = new Classroom(join(folder, 'demo'), await freePortBase());
  });
  afterEach(async () => {
    await classroom.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is done by the commands of its page, which print what the page says, and by no fewer', async () => {
    const [start, ...steps] = stepsOf(page);
    if (start?.terminal !== 'lesson') throw new Error(`${page} does not begin with its lesson`);
    const lesson = classroom.type(start);
    await lesson.until((output) => output.includes('To do:'));
    const open: ReturnType<Classroom['type']>[] = [];
    const unsaid: string[] = [];
    for (const step of steps) {
      expect(step.further ? '' : lesson.output, step.command).not.toMatch(/^done/m);
      const expected = classroom.expected(step);
      const shell = classroom.type(step);
      if (step.open) {
        open.push(shell);
        await shell.until((output) => missing(expected, output).length === 0);
      } else {
        await shell.ended;
        unsaid.push(...missing(expected, shell.output).map((line) => `${line}\n   is not in:\n${shell.output}`));
      }
    }
    expect(unsaid, lesson.output).toEqual([]);
    await lesson.until((output) => /^done: lesson \d, in .*\d s/m.test(output));
    await Promise.all(open.map((shell) => shell.ended));
    expect(lesson.output).not.toMatch(/not finished/);
    expect(await lesson.end('SIGINT'), lesson.output).toBe(0);
  });
});
