/** How soon the demo's pages begin to come, and how much of them there is for a browser that has nothing of it yet. */
import { readFile, rm } from 'node:fs/promises';
import { Agent, get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { demoPorts, USERS } from '../../../demo/demo.ts';
import { demoUrls } from '../../../demo/files.ts';
import { CookieBrowser } from '../../support/cookie-browser.ts';
import { freePortBase, temporaryFolder } from '../../support/instance.ts';
import { newClientKey, OAuthClient } from '../../support/oauth-client.ts';
import { median } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { start } from '../stage/processes.ts';

const DEMO = fileURLToPath(new URL('../../../demo/main.ts', import.meta.url));
const ROUNDS = 9;
const REQUESTS = 40;
const WARM_UP = 200;
/** What the lists have to show; fewer than the sign-ins that one address may start in a minute. */
const SESSIONS = 20;
const GOAL_MS = 20;
const GOAL_KB = 50;
/** The front page is for users who are signed out. */
const PAGES = { front: '/', me: '/me', admin: '/admin' } as const;

type PageName = keyof typeof PAGES;

const NAMES = Object.keys(PAGES) as PageName[];

export async function* pages(): AsyncIterable<BenchResult> {
  const directory = await temporaryFolder();
  const base = await freePortBase();
  const urls = demoUrls(demoPorts(base));
  const ready = (): Promise<boolean> =>
    fetch(`${urls.ops}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  const args = [DEMO, '--dir', directory, '--port-base', String(base)];
  const demo = await start(process.execPath, args, ready);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const ca = await readFile(join(directory, 'ca.crt'), 'utf8');
    await signInTerminals({ web: urls.web, api: urls.api, ca });
    const cookie = await signInRoot(urls.web);
    const load = (path: string): Promise<Loaded> => loaded(agent, urls.web + path, path === '/' ? '' : cookie);
    yield* await firstBytes(load);
    yield* await sizes(load);
  } finally {
    agent.destroy();
    await demo.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function signInTerminals(endpoints: ConstructorParameters<typeof OAuthClient>[0]): Promise<void> {
  const client = new OAuthClient(endpoints, await newClientKey());
  for (let session = 0; session < SESSIONS; session += 1) await client.signIn('alice');
  await client.close();
}

/** @returns the `Cookie` header of a browser in which root is signed in */
async function signInRoot(web: string): Promise<string> {
  const root = USERS.find(({ name }) => name === 'root');
  const browser = new CookieBrowser();
  const login = await browser.follow(`${web}/login/start?provider=demo&to=me`);
  const known = await browser.post(login.url, { login: 'root', password: root?.password ?? '' });
  const consent = await browser.follow(new URL(known.location, login.url).href);
  const agreed = await browser.post(consent.url, {});
  const landed = await browser.follow(new URL(agreed.location, consent.url).href);
  if (landed.url !== `${web}/me`) throw new Error(`root was not signed in: ${landed.status} ${landed.url}`);
  return browser.cookies;
}

interface Loaded {
  readonly firstByteMs: number;
  /** Head and body, as sent. */
  readonly bytes: number;
  readonly text: string;
}

function loaded(agent: Agent, url: string, cookie: string): Promise<Loaded> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const asked = get(url, { agent, headers: { 'accept-encoding': 'gzip', cookie } });
    asked.on('error', reject);
    asked.on('response', (response: IncomingMessage) => {
      const firstByteMs = performance.now() - begun;
      if (response.statusCode !== 200) reject(new Error(`${url} answers ${response.statusCode}`));
      const head = response.rawHeaders.reduce((sum, part) => sum + part.length + 2, 'HTTP/1.1 200 OK\r\n\r\n'.length);
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        resolve({ firstByteMs, bytes: head + body.length, text: body.toString() });
      });
    });
  });
}

type Load = (path: string) => Promise<Loaded>;

async function firstBytes(load: Load): Promise<BenchResult[]> {
  const times: Record<PageName, number[]> = { front: [], me: [], admin: [] };
  for (const name of NAMES) for (let request = 0; request < WARM_UP; request += 1) await load(PAGES[name]);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of NAMES) {
      for (let request = 0; request < REQUESTS; request += 1) times[name].push((await load(PAGES[name])).firstByteMs);
    }
  }
  return NAMES.map((name) => ({
    name: `page-${name}`,
    unit: 'ms to the first byte',
    portcullis: median(times[name]),
    peers: {},
    ratio: null,
    goal: `≤ ${GOAL_MS}`,
    ok: median(times[name]) <= GOAL_MS,
    load: `${PAGES[name]} of the demo over one connection, ${ROUNDS} rounds of ${REQUESTS} in turns, ${SESSIONS + 1} sessions`,
  }));
}

/** The document with everything that it names. */
async function sizes(load: Load): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  for (const name of NAMES) {
    const document = await load(PAGES[name]);
    const assets = new Set(
      [...document.text.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, path]) => path ?? ''),
    );
    const parts = await Promise.all([...assets].map(load));
    const kilobytes = parts.reduce((sum, { bytes }) => sum + bytes, document.bytes) / 1000;
    results.push({
      name: `page-${name}-size`,
      unit: 'kB',
      portcullis: kilobytes,
      peers: {},
      ratio: null,
      goal: `≤ ${GOAL_KB}`,
      ok: kilobytes <= GOAL_KB,
      load: `${PAGES[name]}: the document (${(document.bytes / 1000).toFixed(1)} kB) and ${assets.size} assets, heads included`,
    });
  }
  return results;
}
