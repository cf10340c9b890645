/** A terminal between a user and a program: echo, line editing, ^C, ^D, and the line ends that screens expect. */
import { PassThrough } from 'node:stream';
import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

const ESCAPE = '\u001b';
const DELETE = '\u007f';

export interface Terminal {
  /** Whole lines. A piece without bytes is an end of file by ^D, after which more may come. */
  readonly input: Readable;
  /** Text as it goes to the screen. */
  onScreen(text: string): string;
}

class LineEditor {
  readonly input = new PassThrough({ objectMode: true });
  readonly #screen: Writable;
  readonly #interrupt: () => void;
  #line: string[] = [];
  /** Within the sequence of an arrow or function key, which means nothing here. */
  #inSequence = false;

  constructor(screen: Writable, interrupt: () => void) {
    this.#screen = screen;
    this.#interrupt = interrupt;
  }

  press(key: string): void {
    if (this.#inSequence) {
      this.#inSequence = !/[A-Za-z~]/.test(key);
      return;
    }
    switch (key) {
      case ESCAPE:
        this.#inSequence = true;
        return;
      case '\r':
      case '\n':
        this.#screen.write('\r\n');
        return this.#hand('\n');
      case '\u0003':
        this.#line = [];
        this.#screen.write('^C\r\n');
        return this.#interrupt();
      case '\u0004':
        return this.#hand('');
      case '\b':
      case DELETE:
        if (this.#line.pop() !== undefined) this.#screen.write('\b \b');
        return;
      default:
        if (key < ' ') return;
        this.#line.push(key);
        this.#screen.write(key);
    }
  }

  #hand(end: string): void {
    this.input.write(Buffer.from(this.#line.join('') + end));
    this.#line = [];
  }
}

/** @param interrupt called for ^C */
export function createTerminal(keyboard: Readable | undefined, screen: Writable, interrupt: () => void): Terminal {
  const editor = new LineEditor(screen, interrupt);
  const decoder = new StringDecoder('utf8');
  keyboard?.on('data', (bytes: Buffer) => {
    for (const key of decoder.write(bytes)) editor.press(key);
  });
  keyboard?.once('end', () => editor.input.end());
  keyboard?.once('close', () => editor.input.end());
  return { input: editor.input, onScreen: (text) => text.replaceAll(/\r?\n/g, '\r\n') };
}
