/** The site as it is published: a release and what is not released yet beside each other, served at a path of a host, and lying in a folder. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../unit/docs/markdown.ts';

const run = promisify(execFile);

/** In the checkout since the release. */
const NEW_PAGE = 'since-then.md';

/** As the page of a project is served. */
const BASE = '/portcullis/';
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

export interface BuiltSite extends AsyncDisposable {
  readonly folder: string;
  /** With a slash at its end. */
  readonly url: string;
  /** All pages, as paths below `folder`. */
  readonly pages: readonly string[];
}

/** A repository with this checkout's pages; released as 0.1.0, with one page more since then. */
async function writeCheckout(folder: string, released: boolean): Promise<void> {
  for (const name of [
    'docs',
    'deploy',
    'src',
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'package.json',
  ])
    await cp(join(ROOT, name), join(folder, name), { recursive: true });
  const git = (...args: readonly string[]) =>
    run('git', [
      '-C',
      folder,
      '-c',
      'user.name=test',
      '-c',
      'user.email=test@localhost',
      '-c',
      'commit.gpgsign=false',
      ...args,
    ]);
  await git('init', '--quiet', '--initial-branch=main');
  await git('add', '--all');
  await git('commit', '--quiet', '--message=release');
  if (!released) return;
  await git('tag', 'v0.1.0');
  await git('tag', 'v0.1.1-rc.1');
  await writeFile(join(folder, `docs/${NEW_PAGE}`), '# Since then\n\nA page with the word quokka.\n');
  await appendFile(join(folder, 'docs/README.md'), `\n[Since then](${NEW_PAGE})\n`);
}

/** A host of static files: what is not there gets the page at the top, at whatever depth it was asked for. */
async function serve(folder: string): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = join(
      folder,
      path.startsWith(BASE) ? path.slice(BASE.length) : 'nowhere',
      path.endsWith('/') ? 'index.html' : '',
    );
    readFile(file).then(
      (body) =>
        response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body),
      async () =>
        response.writeHead(404, { 'content-type': 'text/html' }).end(await readFile(join(folder, '404.html'))),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${BASE}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

export async function buildSite(released: boolean, args: readonly string[] = []): Promise<BuiltSite> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-site-'));
  const [checkout, folder] = [join(directory, 'checkout'), join(directory, 'site')];
  await writeCheckout(checkout, released);
  await run(process.execPath, [
    join(ROOT, 'site/build.ts'),
    '--checkout',
    checkout,
    '--out',
    folder,
    '--base',
    BASE,
    ...args,
  ]);
  const { url, close } = await serve(folder);
  return {
    folder,
    url,
    pages: (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.html')).toSorted(),
    async [Symbol.asyncDispose]() {
      close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
