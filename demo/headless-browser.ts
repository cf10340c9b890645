#!/usr/bin/env node
/**
 * What the tour puts into `$BROWSER`: opens the URL that the plugin gives it and signs in as `PORTCULLIS_DEMO_PERSON`. The plugin hears nothing
 * of what a browser says, so where this one fails it adds its words to the file `PORTCULLIS_DEMO_BROWSER_LOG`.
 */
import { appendFileSync } from 'node:fs';
import { PEOPLE } from './demo.ts';
import { Visitor } from './visitor.ts';

const [, , url] = process.argv;
const person = PEOPLE.find(({ name }) => name === process.env['PORTCULLIS_DEMO_PERSON']);
if (url === undefined || person === undefined) {
  console.error('usage: PORTCULLIS_DEMO_PERSON=alice headless-browser URL');
  process.exit(2);
}
try {
  const { status, url: at, html } = await new Visitor(person).visit(url);
  if (status >= 400) throw new Error(`${status} at ${new URL(at).pathname}: ${wordsOf(html)}`);
} catch (error) {
  const words = `the browser ended: ${String(error)}\n`;
  console.error(words);
  const log = process.env['PORTCULLIS_DEMO_BROWSER_LOG'];
  if (log !== undefined) appendFileSync(log, words);
  process.exitCode = 1;
}

function wordsOf(html: string): string {
  const main = /<main[^>]*>([\s\S]*)<\/main>/.exec(html)?.[1] ?? html;
  return main
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}
