/** A browser without a screen, for `$BROWSER`: notes that a tab was opened, then follows where the address leads. */
import { appendFileSync } from 'node:fs';

const [tabs, url] = process.argv.slice(2);
if (tabs === undefined || url === undefined) throw new Error('usage: browser.ts TABS URL');
const page = await fetch(url);
appendFileSync(tabs, `${JSON.stringify({ status: page.status, at: page.url, text: await page.text() })}\n`);
