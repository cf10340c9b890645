/** The page of all faults, and the faults themselves, read from the sources. */
import { globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const page = readFileSync('docs/troubleshooting.md', 'utf8');
const sources = globSync('src/cli/**/*.ts').map((file) => ({ file, text: readFileSync(file, 'utf8') }));

/** The arguments of each call of `fault` that is written in `text`, as they stand there. */
function faultsIn(text: string): string[][] {
  return [...text.matchAll(/(?<![\w.]|function )fault\(/g)].map(({ index, 0: call }) =>
    argumentsFrom(text, index + call.length),
  );
}

/** Splits at the commas of the outermost level, up to the closing bracket. */
function argumentsFrom(text: string, start: number): string[] {
  const found = [''];
  let depth = 0;
  let quote: string | undefined;
  for (let at = start; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quote === undefined && depth === 0 && character === ')') break;
    if (quote === undefined && depth === 0 && character === ',') {
      found.push('');
      continue;
    }
    if (quote !== undefined) {
      if (character === quote) quote = undefined;
    } else if (['"', "'", '`'].includes(character)) quote = character;
    else if (['(', '{', '['].includes(character)) depth += 1;
    else if ([')', '}', ']'].includes(character)) depth -= 1;
    found.push(`${found.pop() ?? ''}${character}`);
  }
  return found.map((argument) => argument.trim()).filter((argument) => argument !== '');
}

const faults = sources.flatMap(({ file, text }) => faultsIn(text).map((parts) => ({ file, parts })));

test('there are faults to look at', () => {
  expect(faults.length).toBeGreaterThan(40);
});

test('every fault says what to do next', () => {
  const without = faults.filter(({ parts: [, , next] }) => next === undefined || next === 'undefined');
  expect(without.map(({ file, parts }) => `${file}: ${parts.join(', ')}`)).toEqual([]);
});

describe('docs/troubleshooting.md', () => {
  const words = (text: string): string[] => [...text.matchAll(/'([a-z]+(?:_[a-z]+)*)'/g)].map(([, word]) => word ?? '');
  const codes = faults.flatMap(({ parts: [code = ''] }) => words(code));
  const reasons = faults.flatMap(({ parts: [, , , options = ''] }) =>
    words(/reason: ([^,}]*)/.exec(options)?.[1] ?? ''),
  );
  test.each([...new Set([...codes, ...reasons])])('has the code %s', (code) => {
    expect(page).toContain(`\`${code}\``);
  });

  test('names every variable of the network that is read', () => {
    const environment = readFileSync('src/cli/environment.ts', 'utf8');
    const network = environment.slice(environment.indexOf('export function readNetwork'));
    const names = [...network.matchAll(/env\['(\w*(?:PROXY|proxy|SSL)\w*)'\]/g)].map(([, name]) => name ?? '');
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});
