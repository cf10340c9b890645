/** A browser without a screen, for `$BROWSER`: notes that a tab was opened, then follows where the address leads. */
import { appendFileSync } from 'node:fs';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';

const [tabs, address] = process.argv.slice(2);
if (tabs === undefined || address === undefined) throw new Error('usage: browser.ts TABS URL');

// Not `fetch`, which takes longer to load than all the rest.
function follow(at: string): void {
  get(at, (page) => {
    const { statusCode: status, headers } = page;
    page.on('error', fail);
    if (headers.location === undefined) return void note(at, status, text(page)).catch(fail);
    page.resume();
    follow(new URL(headers.location, at).href);
  }).on('error', fail);
}

async function note(at: string, status: number | undefined, body: Promise<string>): Promise<void> {
  appendFileSync(tabs ?? '', `${JSON.stringify({ status, at, text: await body })}\n`);
}

function fail(error: unknown): void {
  throw error;
}

follow(address);
