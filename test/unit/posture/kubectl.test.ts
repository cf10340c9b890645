import { execFileSync, spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  comment,
  commentLine,
  jsonArgument,
  kubectl,
  kubectlApply,
  LONGEST_TYPED,
  shellLine,
} from '../../../src/posture/rules/kubectl.ts';

const CONTEXT = 'prod@portcullis.example.com';

/** Each takes its commands from stdin, as a user types them; those that a machine has not are left out. */
const SHELLS = (
  [
    ['sh', []],
    ['dash', ['-i']],
    ['bash', ['--norc', '--noprofile', '-i']],
    ['zsh', ['-f', '-i']],
    ['zsh', ['-f', '-i', '-o', 'rcquotes', '-o', 'extendedglob']],
    ['fish', ['--no-config', '-i']],
  ] as const
).filter(([shell]) => spawnSync(shell, ['-c', 'true']).status === 0);

/** The messages of each run of kubectl, and what else the lines did. */
function typed(shell: string, args: readonly string[], lines: readonly string[]) {
  const kubectlHere =
    shell === 'fish'
      ? `function kubectl; printf '<%s>' $argv; printf '\\n'; end`
      : `kubectl() { printf '<%s>' "$@"; printf '\\n'; }`;
  const input = [kubectlHere, ...lines, ''].join('\n');
  const { stdout, stderr } = spawnSync(shell, args, {
    input,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], PS1: '' },
  });
  return { ran: stdout.split('\n').filter((line) => line.startsWith('<')), all: `${stdout}${stderr}` };
}

const HARMFUL = [
  "x'; echo PWNED; '",
  "x\\'; echo PWNED; '",
  '$(echo PWNED)',
  '`echo PWNED`',
  '; echo PWNED',
  '| echo PWNED',
  '&& echo PWNED #',
  "o'hara",
  'ends with \\',
  "\\'\\'",
  "''",
  '!!',
  'a\\!k b',
  '~root',
  '*',
  '=ls',
  '{a,b}',
  '#',
  'a"b',
  '%1',
  'ĀāĂ 語',
];

describe('a printed command', () => {
  /** What a shell makes of its messages; `kubectl` is a function that shows them. */
  const message = (line: string): readonly string[] =>
    execFileSync('sh', ['-c', `kubectl() { printf '%s\\0' "$@"; }\n${line}`], { encoding: 'utf8' })
      .split('\0')
      .slice(0, -1);

  test('has, for a shell, the arguments that it was made of, and the context; or is none', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 });
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), (given) => {
        const line = shellLine(kubectl(...given), CONTEXT);
        const plain = !/[\p{C}\p{Zl}\p{Zp}]/u.test(given.join(''));
        expect(message(line)).toEqual(plain ? ['--context', CONTEXT, ...given] : []);
      }),
      { numRuns: 60 },
    );
  });

  test.each(SHELLS)('and no other runs in %s %j, whatever the names are', (shell, args) => {
    const lines = HARMFUL.flatMap((name) => [
      commentLine(`${name}: ${name}`),
      shellLine(kubectl('delete', `clusterrolebinding/${name}`), CONTEXT),
      shellLine(kubectl('patch', '-p', jsonArgument([{ name }])), CONTEXT),
    ]);
    const { ran, all } = typed(shell, args, lines);
    expect(ran).toEqual(
      HARMFUL.flatMap((name) => [
        `<--context><${CONTEXT}><delete><clusterrolebinding/${name}>`,
        `<--context><${CONTEXT}><patch><-p><${JSON.stringify([{ name }])}>`,
      ]),
    );
    expect(all.split('\n')).not.toContain('PWNED');
  });

  test.each(['a\nb', 'a\u001b[201~\u0003b', 'a\u202eb', 'a\u2028b', 'a\u{e000}b'])(
    'is none where a name cannot be typed: %j',
    (name) => {
      const line = shellLine(kubectl('delete', `secret/${name}`), CONTEXT);
      expect(line).toMatch(/^# 'manually, because [^'\p{C}]+: kubectl delete secret\/a [^'\p{C}]*b'$/u);
    },
  );

  test('says in a patch, by escapes, what cannot be typed', () => {
    const text = jsonArgument({ name: 'a\u007f\u202e\u{e0041}b' });
    expect(text).not.toMatch(/\p{C}/u);
    expect(JSON.parse(text)).toEqual({ name: 'a\u007f\u202e\u{e0041}b' });
  });

  test('is none where it is longer than a shell hands on', () => {
    expect(shellLine(kubectl('patch', 'deployment/web', 'x'.repeat(70_000)), CONTEXT)).toBe(
      "# 'manually, because it is too long for one command: kubectl patch deployment/web'",
    );
  });

  test('hands a manifest on as it is', () => {
    const manifest = { metadata: { name: "o'hara\\n", namespace: '$(id)' } };
    const line = shellLine(kubectlApply(manifest), CONTEXT);
    for (const shell of ['sh', 'bash']) {
      const said = execFileSync(shell, ['-c', `kubectl() { cat; }\n${line}`], { encoding: 'utf8' });
      expect(JSON.parse(said)).toEqual(manifest);
    }
  });
});

describe('a comment', () => {
  test('is one line, quoted whole, which ends however it was cut', () => {
    for (const text of ["x'\\".repeat(50_000), '語'.repeat(5000), 'a\nb', '']) {
      const line = commentLine(text);
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(LONGEST_TYPED);
      expect(line).toMatch(/^# '(?:[^'\\\p{C}]|'\\''|'"\\\\"')*'$/u);
    }
    expect(shellLine(comment('first this'), CONTEXT)).toBe("# 'first this'");
  });
});
