/** The operator of `config probe --sign-in`: messages on standard error, addresses from the terminal or a pipe. */
import { createInterface, type Interface } from 'node:readline';
import { createCliContext } from '../cli/context.ts';
import { showPage } from '../cli/session/browser.ts';
import type { Operator } from '../idp/probe/operator.ts';

/** @param provider its name, for the message */
export function createOperator(provider: string): Operator & { readonly close: () => void } {
  const context = createCliContext();
  const { noBrowser, remote } = context.environment;
  // Read at once, so that no line is lost between two questions.
  const piped = context.ask === undefined ? pipedLines() : undefined;
  return {
    open(url) {
      // As `portcullis login` does. No user sees a browser that opens on a machine that is reached over SSH.
      if (noBrowser || remote) return context.notify(`open this address in a browser:\n  ${url.href}`);
      showPage(context, { url, purpose: `to sign in at ${provider}`, attended: true }, () => undefined);
    },
    tell: (text) => context.notify(text),
    ask: async (question) => (piped === undefined ? context.ask?.(question) : piped.next()),
    attended: piped === undefined,
    close: () => piped?.lines.close(),
  };
}

function pipedLines(): { readonly lines: Interface; readonly next: () => Promise<string | undefined> } {
  const lines = createInterface({ input: process.stdin, terminal: false });
  const iterator = lines[Symbol.asyncIterator]();
  return {
    lines,
    async next() {
      const { done, value } = await iterator.next();
      return done === true ? undefined : value;
    },
  };
}
