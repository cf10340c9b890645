/**
 * Our error pages on hosts that are not ours alone. They are self-contained: the URL of a style sheet or a link to
 * `/` would belong to the console, so the page contains the style sheet, and its policy allows that text and no
 * other.
 */
import { createHash } from 'node:crypto';
import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { assetText } from '../page/assets.ts';
import { errorMessages } from '../page/error-page.ts';
import { appErrorOf, retryAfterSeconds } from '../../http/error-status.ts';
import { facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { asBytes } from '../../core/http/header-names.ts';

interface PlainPage {
  readonly title: string;
  readonly message: string;
  readonly next: string;
  readonly requestId: string;
  readonly link: { readonly href: string; readonly text: string };
}

/** Without comments and indentation, which a browser does not need. */
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

const pageCard = ({ title, message, next, requestId, link }: PlainPage): Html =>
  html`<div class="card">
    <h1>${title}</h1>
    <div class="notice bad"><p role="alert">${message}</p></div>
    <p>${next}</p>
    ${facts([['Request id', html`<code>${requestId}</code>`]], ' small')}
    <div class="row"><a class="button" href="${link.href}">${link.text}</a></div>
  </div>`;

/** Style sheet and icon are our own files and unescaped; everything else is escaped. */
function render(page: PlainPage): string {
  const brand = html`<a class="brand" href="${page.link.href}">`.toString();
  return [
    `<!doctype html>\n<html lang="en">\n<head>${head(page.title).toString()}\n<style>${STYLE}</style>\n</head>`,
    `<body class="plain">\n<header class="top"><div class="top-inner">${brand}${ICON}Portcullis</a></div></header>`,
    `<main class="narrow">${pageCard(page).toString()}</main>\n</body>\n</html>\n`,
  ].join('\n');
}

/** Sends a page with a status. Does nothing where a response has begun. */
export function sendPlainPage(res: ServerResponse, status: number, page: PlainPage): void {
  if (res.headersSent) return;
  const body = Buffer.from(render(page));
  res.writeHead(status, { ...HEADERS, 'Content-Length': body.length });
  res.end(body);
}

/**
 * Sends the page for anything thrown.
 *
 * @param publicUrl target of the link
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

/** Sends 429 (RFC 6585 §4) with the message. */
export function sendTooMany(
  res: ServerResponse,
  message: string,
  { publicUrl, requestId }: { readonly publicUrl: string; readonly requestId: string },
): void {
  if (!res.headersSent) res.setHeader('Retry-After', '1');
  const link = { href: publicUrl, text: 'Portcullis' };
  sendPlainPage(res, 429, { title: 'Too many requests', message, next: 'Try again in a moment.', requestId, link });
}

/** How long a client has to read the rejection and to close its side. */
const CLOSE_GRACE_MS = 10_000;

/**
 * Rejects an upgrade with a plain text, because no browser shows a page here.
 *
 * No code reads such a socket, and none of Node's timeouts applies to it. An attacker who keeps the other side
 * open would keep the connection permanently, and one byte that a client sends before it leaves would hide its
 * end. So input is read and dropped, for a while.
 */
export function refuseUpgrade(socket: Duplex, status: number, text: string): void {
  if (!socket.writable) return;
  const body = `${text}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Rejected'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${asBytes(body)}`, 'latin1');
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
  socket.once('close', () => clearTimeout(timer));
}
