/** The supported part of the shell language: arguments, quotes, `$NAME`, `;`, `&&`, `||`, `>&2`, and `while`. */

/** A piece of a word; what stood in single quotes is taken as it is. */
export interface Piece {
  readonly text: string;
  readonly expands: boolean;
}
export type Word = readonly Piece[];

export type Command =
  | { readonly kind: 'simple'; readonly parts: readonly Word[]; readonly toStderr: boolean }
  | { readonly kind: 'while'; readonly test: Script; readonly body: Script };

/** Each command with what must hold of the one before it. */
export type Script = readonly { readonly when: 'always' | 'success' | 'failure'; readonly command: Command }[];

export class ShellSyntaxError extends Error {
  override readonly name = 'ShellSyntaxError';
}

type Token = { readonly word: Word; readonly bare: string } | { readonly operator: string };

/** Operators, then quoted pieces, then an escape, then plain characters. */
const PIECE = /(;|\n|&&|\|\||1?>&2|[|&<>()`])|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s;|&<>()'"`\\]+)|([ \t\r]+)/gsy;

function tokens(text: string): Token[] {
  const found: Token[] = [];
  let word: Piece[] | undefined;
  let bare = '';
  const finishWord = (): void => {
    if (word !== undefined) found.push({ word, bare });
    word = undefined;
    bare = '';
  };
  let end = 0;
  for (const match of text.matchAll(PIECE)) {
    const [whole, operator, single, double, escaped, plain, space] = match;
    end = match.index + whole.length;
    if (operator !== undefined || space !== undefined) finishWord();
    if (operator !== undefined) found.push({ operator });
    else if (space === undefined) {
      const literal = single ?? escaped;
      const quoted = double?.replaceAll(/\\(["\\$`])/g, '$1');
      word = [...(word ?? []), { text: literal ?? quoted ?? plain ?? '', expands: literal === undefined }];
      // A quoted keyword is no keyword.
      bare = plain !== undefined && word.length === 1 ? plain : '';
    }
  }
  if (end < text.length) throw new ShellSyntaxError('unterminated quoted string');
  finishWord();
  return found;
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length;
  }

  /** Commands up to one of the keywords, or the end. */
  script(until: readonly string[]): Script {
    const script: { when: 'always' | 'success' | 'failure'; command: Command }[] = [];
    let when: 'always' | 'success' | 'failure' = 'always';
    while (!this.done && !this.#atKeyword(until)) {
      const operator = this.#operator();
      if (operator === '&&') when = 'success';
      else if (operator === '||') when = 'failure';
      else if (operator === ';' || operator === '\n') when = 'always';
      else script.push({ when, command: this.#command() });
    }
    return script;
  }

  #atKeyword(parts: readonly string[]): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && 'bare' in token && parts.includes(token.bare);
  }

  #operator(): string | undefined {
    const token = this.#tokens[this.#at];
    if (token === undefined || !('operator' in token)) return undefined;
    if (!['&&', '||', ';', '\n'].includes(token.operator)) {
      throw new ShellSyntaxError(`"${token.operator}" is more than this demo shell can do`);
    }
    this.#at += 1;
    return token.operator;
  }

  #expect(keyword: string): void {
    if (!this.#atKeyword([keyword])) throw new ShellSyntaxError(`expecting "${keyword}"`);
    this.#at += 1;
  }

  #command(): Command {
    if (!this.#atKeyword(['while'])) return this.#simple();
    this.#at += 1;
    const test = this.script(['do']);
    this.#expect('do');
    const body = this.script(['done']);
    this.#expect('done');
    return { kind: 'while', test, body };
  }

  #simple(): Command {
    const parts: Word[] = [];
    let toStderr = false;
    for (let token = this.#tokens[this.#at]; token !== undefined; token = this.#tokens[this.#at]) {
      if ('word' in token) parts.push(token.word);
      else if (token.operator.endsWith('>&2')) toStderr = true;
      else break;
      this.#at += 1;
    }
    return { kind: 'simple', parts, toStderr };
  }
}

/** @throws ShellSyntaxError */
export function parseScript(text: string): Script {
  const parser = new Parser(tokens(text));
  const script = parser.script([]);
  return script;
}
