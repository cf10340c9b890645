/** Answers to a lesson's questions: judged where they are typed, kept in the demo's folder for the lesson that watches. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lesson } from './lesson.ts';

const place = (directory: string, { number }: Lesson): string => join(directory, 'lessons', `${number}.json`);

const plain = (text: string): string => text.trim().toLowerCase();

/** @returns the questions whose kept answers are right: they are checked again, because anyone may have written the file */
export async function readAnswered(directory: string, lesson: Lesson): Promise<ReadonlySet<string>> {
  const kept = await readKept(directory, lesson);
  const right = (lesson.questions ?? []).filter(({ name, right: expected }) => kept[name] === expected);
  return new Set(right.map(({ name }) => name));
}

/** Forgets what was answered before. */
export async function forgetAnswers(directory: string, lesson: Lesson): Promise<void> {
  await keep(directory, lesson, {});
}

/**
 * Judges `QUESTION=ANSWER` pairs one after another, says for each whether it is right, and keeps those that are. One that is none, or to
 * what was not asked, ends it.
 * @returns exit status: 0 where all are right, 1 where one is not, 2 where it ended early
 */
export async function answer(
  directory: string,
  lesson: Lesson,
  { pairs, say }: { readonly pairs: readonly string[]; readonly say: (line: string) => void },
): Promise<number> {
  const kept = { ...(await readKept(directory, lesson)) };
  let code = 0;
  for (const pair of pairs) {
    const [name = '', ...rest] = pair.split('=');
    const question = lesson.questions?.find((one) => one.name === name);
    if (question === undefined || rest.join('') === '') {
      say(`"${pair}" is no answer. ${asked(lesson)}`);
      code = 2;
      break;
    }
    const right = plain(rest.join('=')) === plain(question.right);
    say(right ? `${name}: right` : `${name}: no. ${question.hint}`);
    if (right) kept[name] = question.right;
    else code = 1;
  }
  await keep(directory, lesson, kept);
  return code;
}

function asked({ number, questions = [] }: Lesson): string {
  if (questions.length === 0) return `Lesson ${number} asks nothing.`;
  return `Lesson ${number} asks for: ${questions.map(({ name }) => `${name}=…`).join(' ')} (no blanks around =)`;
}

async function readKept(directory: string, lesson: Lesson): Promise<Readonly<Record<string, string>>> {
  try {
    return JSON.parse(await readFile(place(directory, lesson), 'utf8')) as Record<string, string>;
  } catch {
    // None yet, or not whole yet: the next look sees it.
    return {};
  }
}

async function keep(directory: string, lesson: Lesson, kept: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(join(directory, 'lessons'), { recursive: true });
  await writeFile(place(directory, lesson), JSON.stringify(kept));
}
