/**
 * Pages of ours on hosts that are not ours alone. They stand by themselves: a style sheet's address or a link to `/` would be the console's, so
 * the look of all pages stands in the page, and the policy allows that text and no other.
 */
import { createHash } from 'node:crypto';
import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { assetText } from '../page/assets.ts';
import { errorMessages } from '../page/error-page.ts';
import { appErrorOf, retryAfterSeconds } from '../../http/error-status.ts';
import { html, type Html } from '../page/html.ts';
import { asBytes } from '../../core/http/header-names.ts';

interface PlainPage {
  readonly title: string;
  readonly message: string;
  readonly next: string;
  readonly requestId: string;
  readonly link: { readonly href: string; readonly text: string };
}

/** Without its comments and its indentation, which a browser has no use for. */
const STYLE = assetText('portcullis.css')
  .replaceAll(/\/\*[^]*?\*\//g, '')
  .replaceAll(/\n\s*/g, '\n');
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');
const ICON = assetText('icon.svg').trim().replace('<svg ', '<svg width="28" height="28" aria-hidden="true" ');

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'`,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'same-origin',
  'Cache-Control': 'no-store',
} as const;

const head = (title: string): Html =>
  html`<meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>${title} · Portcullis</title>`;

const card = ({ title, message, next, requestId, link }: PlainPage): Html =>
  html`<div class="card">
    <h1>${title}</h1>
    <div class="notice bad"><p role="alert">${message}</p></div>
    <p>${next}</p>
    <dl class="facts small">
      <dt>Request id</dt>
      <dd><code>${requestId}</code></dd>
    </dl>
    <div class="row"><a class="button" href="${link.href}">${link.text}</a></div>
  </div>`;

/** Style and icon are our own files, as they stand; everything else is escaped. */
function render(page: PlainPage): string {
  const brand = html`<a class="brand" href="${page.link.href}">`.toString();
  return [
    `<!doctype html>\n<html lang="en">\n<head>${head(page.title).toString()}\n<style>${STYLE}</style>\n</head>`,
    `<body class="plain">\n<header class="top"><div class="top-inner">${brand}${ICON}Portcullis</a></div></header>`,
    `<main class="narrow">${card(page).toString()}</main>\n</body>\n</html>\n`,
  ].join('\n');
}

/** `status` with a page of ours. Nothing happens where an answer has begun. */
export function sendPlainPage(res: ServerResponse, status: number, page: PlainPage): void {
  if (res.headersSent) return;
  const body = Buffer.from(render(page));
  res.writeHead(status, { ...HEADERS, 'Content-Length': body.length });
  res.end(body);
}

/**
 * The page for anything thrown.
 * @param publicUrl where the link leads
 * @returns the status that was sent
 */
export function sendPlainError(
  res: ServerResponse,
  thrown: unknown,
  { publicUrl, requestId }: { readonly publicUrl: string; readonly requestId: string },
): number {
  const { error, status } = appErrorOf(thrown);
  const { title, next } = errorMessages[error.code];
  const wait = retryAfterSeconds(error.code);
  if (wait !== undefined && !res.headersSent) res.setHeader('Retry-After', String(wait));
  const link = { href: publicUrl, text: 'Portcullis' };
  sendPlainPage(res, status, { title, message: error.message, next, requestId, link });
  return status;
}

/** For a client to take the refusal and to close its side. */
const CLOSE_GRACE_MS = 10_000;

/**
 * An upgrade that is refused: no page, because no browser shows one.
 *
 * Nobody reads such a socket, and none of Node's time-outs holds for it. A client that keeps its side open would keep the connection for good, and
 * one byte that it sends before it leaves would hide its end. So what still comes is read and dropped, for a while.
 */
export function refuseUpgrade(socket: Duplex, status: number, text: string): void {
  if (!socket.writable) return;
  const body = `${text}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${asBytes(body)}`, 'latin1');
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
  socket.once('close', () => clearTimeout(timer));
}
