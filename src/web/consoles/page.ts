/**
 * Pages of ours on hosts that are not ours alone. They stand by themselves: a style sheet or a link to `/` would be the console's.
 */
import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { errorWords } from '../page/error-page.ts';
import { faultOf, retryAfterSeconds } from '../page/error-status.ts';
import { html } from '../page/html.ts';
import { asBytes } from '../../core/header-names.ts';

interface PlainPage {
  readonly title: string;
  readonly message: string;
  readonly next: string;
  readonly requestId: string;
  readonly link: { readonly href: string; readonly words: string };
}

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'same-origin',
  'Cache-Control': 'no-store',
} as const;

function render(page: PlainPage): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${page.title} · Portcullis</title>
      </head>
      <body>
        <main>
          <h1>${page.title}</h1>
          <p role="alert">${page.message}</p>
          <p>${page.next}</p>
          <p>Request id: <code>${page.requestId}</code></p>
          <p><a href="${page.link.href}">${page.link.words}</a></p>
        </main>
      </body>
    </html> `.toString();
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
  const { error, status } = faultOf(thrown);
  const { title, next } = errorWords[error.code];
  const wait = retryAfterSeconds(error.code);
  if (wait !== undefined && !res.headersSent) res.setHeader('Retry-After', String(wait));
  const link = { href: publicUrl, words: 'Portcullis' };
  sendPlainPage(res, status, { title, message: error.message, next, requestId, link });
  return status;
}

/** An upgrade that is refused: no page, because no browser shows one. */
export function refuseUpgrade(socket: Duplex, status: number, words: string): void {
  if (!socket.writable) return;
  const body = `${words}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${asBytes(body)}`, 'latin1');
}
