/**
 * Builds the site: `npm run docs:build`. The working tree becomes `next`; each release tag (v1.2.3) a folder of its own beside it, from what the tag
 * has in docs, with the generator of today. Nothing is fetched.
 */
import { execFile, execFileSync } from 'node:child_process';
import { cp, glob, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { build } from 'rolldown';
import { relativize, withPolicy } from './src/finish.ts';
import { readPages } from './src/pages.ts';
import { SETTINGS, type Settings, type Version } from './src/settings.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const run = promisify(execFile);

const { values } = parseArgs({
  options: {
    checkout: { type: 'string', default: fileURLToPath(new URL('..', import.meta.url)) },
    out: { type: 'string', default: fileURLToPath(new URL('../dist/site', import.meta.url)) },
    /** `https://github.com/OWNER/NAME`: links to source files lead there. */
    repository: { type: 'string' },
    /** The path that the site is served at: only the page for what is not found has to know it. */
    base: { type: 'string', default: '/' },
  },
});

interface Source extends Version {
  readonly root: string;
  readonly ref: string;
}

const git = (...args: readonly string[]): string =>
  execFileSync('git', ['-C', values.checkout, ...args], { encoding: 'utf8', maxBuffer: 64e6 }).trim();

const slugsOf = (root: string): readonly string[] => [...readPages(root).values()].map(({ slug }) => slug);

/** What a tag has of the documentation, and the names of the files that it links to. */
async function unpack(tag: string, folder: string): Promise<Source> {
  const root = join(folder, tag);
  await mkdir(root);
  const archive = join(folder, `${tag}.tar`);
  git('archive', '--format=tar', `--output=${archive}`, tag);
  await run('tar', ['-xf', archive, '-C', root]);
  const id = tag.slice(1);
  return { id, label: id, root, ref: tag, slugs: slugsOf(root) };
}

async function sources(folder: string): Promise<readonly Source[]> {
  const tags = git('tag', '--list', 'v*', '--sort=-version:refname')
    .split('\n')
    .filter((tag) => /^v\d+\.\d+\.\d+$/.test(tag));
  const released = await Promise.all(tags.map((tag) => unpack(tag, folder)));
  const { version } = JSON.parse(await readFile(join(values.checkout, 'package.json'), 'utf8')) as { version: string };
  const label = tags.length === 0 ? `${version}, unreleased` : 'Unreleased';
  const next = {
    id: 'next',
    label,
    root: values.checkout,
    ref: git('rev-parse', 'HEAD'),
    slugs: slugsOf(values.checkout),
  };
  return [...released, next];
}

async function generate(settings: Settings): Promise<void> {
  const astro = join(HERE, 'node_modules/astro/bin/astro.mjs');
  const env = { ...process.env, [SETTINGS]: JSON.stringify(settings), ASTRO_TELEMETRY_DISABLED: '1' };
  await run(process.execPath, [astro, 'build', '--root', HERE, '--force', '--silent'], {
    cwd: HERE,
    env,
    maxBuffer: 64e6,
  });
}

/** The files beside the pages: pictures, and the search, whose text is a script because a page from a folder may fetch nothing. */
async function addFiles({ root, out, searchText }: Settings): Promise<void> {
  const assets = join(out, 'assets');
  await cp(join(root, 'docs/images'), join(out, 'docs/images'), { recursive: true });
  await cp(join(HERE, '../src/web/assets/icon.svg'), join(out, 'icon.svg'));
  await cp(join(HERE, 'node_modules/minisearch/dist/umd/index.js'), join(assets, 'minisearch.js'));
  await cp(join(HERE, 'src/search.js'), join(assets, 'search.js'));
  await writeFile(
    join(assets, 'search-text.js'),
    `self.portcullisSearchText = ${await readFile(searchText, 'utf8')};\n`,
  );
}

const MODULE = /<script type="module" src="\/([^"]+)"><\/script>/g;

/** From a folder a browser loads no module: those of a page become one plain script. */
async function bundleModules(html: string, out: string, bundles: Map<string, string>): Promise<string> {
  const modules = [...html.matchAll(MODULE)].map(([, path = '']) => path);
  if (modules.length === 0) return html;
  const key = modules.join(' ');
  const name = bundles.get(key) ?? `assets/page-${bundles.size + 1}.js`;
  if (!bundles.has(key)) {
    const entry = join(out, 'assets/entry.js');
    await writeFile(entry, modules.map((path) => `import './${basename(path)}';\n`).join(''));
    await build({ input: entry, output: { file: join(out, name), format: 'iife', minify: true } });
    await rm(entry);
    bundles.set(key, name);
  }
  return html.replaceAll(MODULE, '').replace('</head>', `<script defer src="/${name}"></script></head>`);
}

async function finish({ out, version }: Settings): Promise<void> {
  const bundles = new Map<string, string>();
  for await (const file of glob('**/*.html', { cwd: out })) {
    const html = await bundleModules(await readFile(join(out, file), 'utf8'), out, bundles);
    // A server shows this page at addresses of any depth.
    const base = file === '404.html' ? `${values.base}${version}/` : undefined;
    await writeFile(join(out, file), withPolicy(relativize(html, file, base)));
  }
}

/** What is at the top: the way to the newest release, or to `next` while there is none. */
async function writeTop({ id }: Version): Promise<void> {
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=${id}/index.html">
<title>Portcullis</title><a href="${id}/index.html">Portcullis: documentation</a></html>\n`;
  await writeFile(join(values.out, 'index.html'), page);
  await cp(join(values.out, id, '404.html'), join(values.out, '404.html'));
}

const folder = await mkdtemp(join(tmpdir(), 'portcullis-site-'));
try {
  const all = await sources(folder);
  const versions = all.map(({ id, label, slugs }) => ({ id, label, slugs }));
  await rm(values.out, { recursive: true, force: true });
  for (const { id, root, ref } of all) {
    const { repository } = values;
    const searchText = join(folder, `${id}.json`);
    const source = repository === undefined ? {} : { source: { repository, ref } };
    const settings = { root, out: join(values.out, id), searchText, version: id, versions, ...source };
    await generate(settings);
    await addFiles(settings);
    await finish(settings);
    console.log(`${settings.out}: ${versions.find((one) => one.id === id)?.slugs.length} pages`);
  }
  if (all[0] !== undefined) await writeTop(all[0]);
} finally {
  await rm(folder, { recursive: true, force: true });
}
