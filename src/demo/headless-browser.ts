#!/usr/bin/env node
/**
 * What the tour puts into `$BROWSER`: opens the URL that the plugin gives it and signs in as `PORTCULLIS_DEMO_PERSON`.
 */
import { PEOPLE } from './demo.ts';
import { Visitor } from './visitor.ts';

const [, , url] = process.argv;
const person = PEOPLE.find(({ name }) => name === process.env['PORTCULLIS_DEMO_PERSON']);
if (url === undefined || person === undefined) {
  console.error('usage: PORTCULLIS_DEMO_PERSON=alice headless-browser URL');
  process.exit(2);
}
const page = await new Visitor(person).visit(url);
if (page.status >= 400) {
  console.error(`the browser ended at a page that says ${page.status}`);
  process.exit(1);
}
