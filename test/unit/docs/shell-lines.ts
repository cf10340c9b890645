/** Lines of a `sh` block as a shell would part them: comments gone, lines joined, arguments unquoted, pipes and redirections cut off. */
import type { FencedBlock } from './markdown.ts';

/** Commands to type (`sh`), or a view of a terminal with what it answered (`console`). */
export const isShell = ({ language }: Pick<FencedBlock, 'language'>): boolean =>
  language === 'sh' || language === 'console';

/** What is typed: in a view of a terminal that is what stands behind a prompt. */
export const shellTextOf = ({ language, text }: Pick<FencedBlock, 'language' | 'text'>): string =>
  language === 'console'
    ? [...text.matchAll(/^(?:[a-z]+)?\$ (.*)$/gm)].map(([, typed = '']) => typed).join('\n')
    : text.replace(/^\s*/, '');

/** @returns the commands of a block, each as its arguments */
export function commandsOf(block: string): readonly (readonly string[])[] {
  const lines = block
    .replaceAll(/<<(\w+)\n[^]*?\n\1(?=\n|$)/g, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n');
  return lines.flatMap(commandsIn).filter((args) => args.length > 0);
}

/** Arguments, and what separates one command from the next. */
const PIECE =
  /(?<space>\s+)|(?<comment>#.*)|(?<end>\|\|?|&&|;)|(?<out>[<>]+\s*\S+)|(?<word>(?:'[^']*'|"[^"]*"|[^\s'"|;<>&])+)/gy;

function commandsIn(line: string): readonly (readonly string[])[] {
  const commands: string[][] = [[]];
  PIECE.lastIndex = 0;
  let read = 0;
  for (const { 0: piece, groups } of line.matchAll(PIECE)) {
    read += piece.length;
    if (groups?.['end'] !== undefined) commands.push([]);
    else if (groups?.['word'] !== undefined) commands.at(-1)?.push(piece.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'));
  }
  if (read !== line.length) throw new Error(`a line that no shell would read here: ${line}`);
  return commands;
}

/** `npx portcullis …` is what `portcullis …` is. @returns undefined where it is another program */
export function portcullisArguments(args: readonly string[]): readonly string[] | undefined {
  const [first, second] = args;
  if (first === 'portcullis') return args.slice(1);
  if ((first === 'npx' || first === 'kubectl') && second === 'portcullis') return args.slice(2);
  return undefined;
}
