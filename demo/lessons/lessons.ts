/**
 * Lessons: the demo as a classroom. Each sets a scene, watches what the learner does, and says what is still open.
 *
 * Owns: the tasks of each lesson and their texts. Must not know: how Portcullis decides anything; a task is done when the audit log or
 * the cluster says so. The pages of the lessons are in docs/training.
 */
import { aboutTokens, signingIn, stolenLaptop } from './developers.ts';
import { incident } from './incident.ts';
import type { Lesson } from './lesson.ts';
import { drillAndRecord, leastPrivilege, rotation } from './platform.ts';
import { rightForAWhile } from './rights.ts';

const LESSONS: readonly Lesson[] = [
  signingIn,
  aboutTokens,
  stolenLaptop,
  leastPrivilege,
  rotation,
  drillAndRecord,
  incident,
  rightForAWhile,
];

/** @returns the lesson, or what to type instead */
export function lessonOf(typed: string): Lesson | string {
  const lesson = LESSONS.find(({ number }) => String(number) === typed);
  if (lesson !== undefined) return lesson;
  const known = LESSONS.map(({ number, title }) => `  ${number}  ${title}`).join('\n');
  return `--lesson wants one of these numbers:\n${known}`;
}
