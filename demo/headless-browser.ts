#!/usr/bin/env node
/**
 * What the tour puts into `$BROWSER`: opens the URL that the plugin gives it and signs in as `PORTCULLIS_DEMO_USER`. The plugin hears nothing
 * of what a browser says, so if this one fails, it appends its error to the file `PORTCULLIS_DEMO_BROWSER_LOG`.
 */
import { appendFileSync } from 'node:fs';
import { USERS } from './demo.ts';
import { Visitor } from './visitor.ts';

const [, , url] = process.argv;
const user = USERS.find(({ name }) => name === process.env['PORTCULLIS_DEMO_USER']);
if (url === undefined || user === undefined) {
  console.error('usage: PORTCULLIS_DEMO_USER=alice headless-browser URL');
  process.exit(2);
}
try {
  const { status, url: at, html } = await new Visitor(user).visit(url);
  if (status >= 400) throw new Error(`${status} at ${new URL(at).pathname}: ${textOf(html)}`);
} catch (error) {
  const message = `the browser ended: ${String(error)}\n`;
  console.error(message);
  const log = process.env['PORTCULLIS_DEMO_BROWSER_LOG'];
  if (log !== undefined) appendFileSync(log, message);
  process.exitCode = 1;
}

function textOf(html: string): string {
  const main = /<main[^>]*>([\s\S]*)<\/main>/.exec(html)?.[1] ?? html;
  return main
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}
