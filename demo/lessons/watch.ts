/** A lesson while it runs: polls the audit log, prints which tasks are done, and ends with Ctrl-C. */
import { rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { auditEvents } from '../audit-events.ts';
import type { RunningDemo } from '../launch.ts';
import { accessOf } from './access.ts';
import type { Evidence, Lesson, Task } from './lesson.ts';
import { readAnswered } from './answers.ts';
import { writeTerminals } from './terminals.ts';

const LOOK_EVERY_MS = 500;

export interface Watching {
  readonly demo: RunningDemo;
  readonly lesson: Lesson;
  /** Aborted by Ctrl-C. */
  readonly stopped: AbortSignal;
  readonly say: (line: string) => void;
}

/**
 * Sets the scene and watches until it is stopped.
 * @returns exit status: 0 where everything was done, else 1
 */
export async function watchLesson(watching: Watching): Promise<number> {
  const { demo, lesson, stopped, say } = watching;
  // What was done here yesterday must not count for today.
  await rm(join(demo.files.directory, 'cache'), { recursive: true, force: true });
  await writeTerminals(demo, lesson.terminals);
  await lesson.scene?.(demo);
  const begun = performance.now();
  const before = (await auditEvents(demo)).length;
  say(opening(demo, lesson));
  const done = new Set<Task>();
  for (;;) {
    // Asked before the look, so that one look comes after Ctrl-C.
    const last = stopped.aborted;
    const all = done.size === lesson.tasks.length;
    await look(watching, before, done);
    if (!all && done.size === lesson.tasks.length)
      say(`\ndone: lesson ${lesson.number}, in ${taken(begun)}. Ctrl-C ends it.`);
    if (last) break;
    await pause(LOOK_EVERY_MS, undefined, { signal: stopped }).catch(() => undefined);
  }
  const open = lesson.tasks.filter((task) => !done.has(task));
  if (open.length === 0) return 0;
  say(
    `\nLesson ${lesson.number} is not finished. Still open:\n${open.map(({ title }) => `  [ ] ${title}`).join('\n')}`,
  );
  return 1;
}

async function look({ demo, lesson, say }: Watching, before: number, done: Set<Task>): Promise<void> {
  const evidence: Evidence = {
    events: (await auditEvents(demo)).slice(before),
    answered: await readAnswered(demo.files.directory, lesson),
    may: accessOf(demo.cluster.upstream),
  };
  for (const task of lesson.tasks) {
    if (done.has(task) || !(await task.done(evidence))) continue;
    done.add(task);
    say(`  [x] ${task.title}${left(lesson.tasks.length - done.size)}`);
  }
}

const left = (open: number): string => (open === 0 ? '' : `   (${open} to go)`);

function opening({ files }: RunningDemo, lesson: Lesson): string {
  const near = relative(process.cwd(), files.directory);
  const directory = near === '' || near.startsWith('..') ? files.directory : near;
  const shells = lesson.terminals.map(({ name }) => `  . ${directory}/as-${name}`).join('\n');
  const tasks = lesson.tasks.map(({ title }) => `  [ ] ${title}`).join('\n');
  return `
Lesson ${lesson.number}: ${lesson.title}
The page to follow: docs/training/${lesson.page}

Your terminals, each begun with its line:
${shells}

To do:
${tasks}
`;
}

function taken(begun: number): string {
  const seconds = Math.round((performance.now() - begun) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
