/** The troubleshooting page, and the errors of the command line, read from the sources. */
import { globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const page = readFileSync('docs/troubleshooting.md', 'utf8');
const sources = globSync('src/cli/**/*.ts').map((file) => ({ file, text: readFileSync(file, 'utf8') }));

/** The arguments of each call of `cliError` that is written in `text`, as they stand there. */
function callsIn(text: string): string[][] {
  return [...text.matchAll(/(?<![\w.]|function )cliError\(/g)].map(({ index, 0: call }) =>
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

const errors = sources.flatMap(({ file, text }) => callsIn(text).map((parts) => ({ file, parts })));

test('finds the errors in the sources', () => {
  expect(errors.length).toBeGreaterThan(40);
});

test('every error says what to do next', () => {
  const without = errors.filter(({ parts: [, , next] }) => next === undefined || next === 'undefined');
  expect(without.map(({ file, parts }) => `${file}: ${parts.join(', ')}`)).toEqual([]);
});

describe('docs/troubleshooting.md', () => {
  const quoted = (text: string): string[] =>
    [...text.matchAll(/'([a-z]+(?:_[a-z]+)*)'/g)].map(([, name]) => name ?? '');
  const codes = errors.flatMap(({ parts: [code = ''] }) => quoted(code));
  const reasons = errors.flatMap(({ parts: [, , , options = ''] }) =>
    quoted(/reason: ([^,}]*)/.exec(options)?.[1] ?? ''),
  );
  test.each([...new Set([...codes, ...reasons])])('has the code %s', (code) => {
    expect(page).toContain(`\`${code}\``);
  });

  test('names every variable of the network that is read', () => {
    const environment = readFileSync('src/cli/environment.ts', 'utf8');
    const proxies = readFileSync('src/core/http/proxy-url.ts', 'utf8');
    const network = proxies + environment.slice(environment.indexOf('export function readNetwork'));
    const names = [...network.matchAll(/env\['(\w*(?:PROXY|proxy|SSL)\w*)'\]/g)].map(([, name]) => name ?? '');
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});
