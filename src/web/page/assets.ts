/**
 * The style sheets, scripts and the icon of the pages: read once, and served under a URL that contains a digest of
 * their content.
 *
 * One digest covers all of them together, as a folder (`/assets/DIGEST/admin.js`), so that a script may import
 * another one by a relative URL and gets the version that it was written with.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Router, type RequestHandler } from 'express';

const FOLDER = fileURLToPath(new URL('../assets/', import.meta.url));

/** The sentences for audit events, which the audit page needs in the browser too. */
const SENTENCE = fileURLToPath(new URL('../../core/audit/sentence.js', import.meta.url));

/**
 * The files of `assets/portcullis/`, in the order of the cascade. They are served as one `portcullis.css`: a page
 * needs one request, and a page of a replica that still runs the version before finds its style sheet here, too.
 */
const COMPONENTS = ['tokens', 'base', 'navigation', 'cards', 'notices', 'buttons', 'forms', 'tables', 'print'];

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

interface Asset {
  readonly type: string;
  readonly body: Buffer;
  /**
   * Only assets are compressed. A page contains a secret next to text that a visitor chose, so its compressed
   * length would reveal the secret (BREACH).
   */
  readonly gzipped: Buffer;
  readonly etag: string;
}

const digestOf = (...parts: readonly (string | Buffer)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('base64url').slice(0, 16);
};

/** Without its comments, which are for those who write it. */
const styleSheet = (): Buffer =>
  Buffer.from(
    COMPONENTS.map((name) => readFileSync(`${FOLDER}portcullis/${name}.css`, 'utf8'))
      .join('\n')
      .replaceAll(/\/\*[^]*?\*\//g, ''),
  );

function readAssets(): ReadonlyMap<string, Asset> {
  const bodies: [string, Buffer][] = [
    ['portcullis.css', styleSheet()],
    ['sentence.js', readFileSync(SENTENCE)],
  ];
  for (const { name } of readdirSync(FOLDER, { withFileTypes: true }).filter((file) => file.isFile())) {
    bodies.push([name, readFileSync(`${FOLDER}${name}`)]);
  }
  const assets = new Map<string, Asset>();
  for (const [name, body] of bodies.toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const type = types[name.slice(name.lastIndexOf('.') + 1)];
    if (type === undefined) continue;
    assets.set(name, { type, body, gzipped: gzipSync(body), etag: `W/"${digestOf(body)}"` });
  }
  return assets;
}

const assets = readAssets();
const version = digestOf(...[...assets].flatMap(([name, { body }]) => [name, body]));

/**
 * Returns the URL of an asset.
 *
 * @param name a file of the folder, such as `admin.js`
 * @throws Error when there is no such file: the page would miss its style sheet or script
 */
export function assetUrl(name: string): string {
  if (!assets.has(name)) throw new Error(`there is no asset named ${name}`);
  return `/assets/${version}/${name}`;
}

/**
 * Returns the text of an asset, for a page on a host where the assets have no path. @throws Error when there is no
 * such file
 */
export function assetText(name: string): string {
  const asset = assets.get(name);
  if (asset === undefined) throw new Error(`there is no asset named ${name}`);
  return asset.body.toString();
}

/**
 * The URL of another version gets the asset of this replica, uncached: during an upgrade a page of one replica
 * loads its assets from another.
 */
const sendAsset: RequestHandler<{ name: string; version?: string }> = (req, res, next) => {
  const { name, version: asked } = req.params;
  const asset = assets.get(name);
  if (asset === undefined) return next();
  const { type, body, gzipped, etag } = asset;
  res.setHeader('ETag', etag);
  res.setHeader('Vary', 'Accept-Encoding');
  res.setHeader('Cache-Control', asked === version ? 'public, max-age=31536000, immutable' : 'no-cache');
  if (req.headers['if-none-match'] === etag) return void res.status(304).end();
  // An `Accept-Encoding` without an encoding of ours gets the plain body.
  const small = req.acceptsEncodings('gzip', 'identity') === 'gzip';
  if (small) res.setHeader('Content-Encoding', 'gzip');
  const sent = small ? gzipped : body;
  res.status(200).setHeader('Content-Type', type).setHeader('Content-Length', sent.length).end(sent);
};

/** `/assets/NAME` and `/assets/VERSION/NAME`. */
export function assetFiles(): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/assets/:name', sendAsset);
  router.get('/assets/:version/:name', sendAsset);
  return router;
}
