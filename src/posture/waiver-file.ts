/** The file of `--waivers`. */
import { readFileSync } from 'node:fs';
import type { AppError } from '../core/errors.ts';
import { parseWaivers, type Waiver } from './rules/waivers.ts';
import { fault } from '../cli/errors.ts';
import { plainText } from '../cli/terminal/plain-text.ts';

/** @throws AppError `bad_request` with every fault of the file */
export async function readWaivers(file: string): Promise<readonly Waiver[]> {
  const parsed = parseWaivers(await readYaml(file));
  if ('waivers' in parsed) return parsed.waivers;
  throw unusable(file, parsed.faults.map((one) => `\n  ${plainText(one)}`).join(''));
}

async function readYaml(file: string): Promise<unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw fault('bad_request', `The waivers ${plainText(file)} cannot be read.`, 'check --waivers', { cause });
  }
  const { parse } = await import('yaml');
  try {
    return parse(text);
  } catch (cause) {
    // The parser repeats the line in its message; the file is the person's own.
    throw unusable(file, ` ${plainText(cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : 'no YAML')}`);
  }
}

const unusable = (file: string, why: string): AppError =>
  fault('bad_request', `The waivers ${plainText(file)} cannot be used:${why}`, 'docs/posture.md shows how they look');
