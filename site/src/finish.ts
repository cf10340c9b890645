/**
 * Makes what the generator wrote work at any address and from a folder: links are relative, and each page allows only its own scripts and styles.
 */
import { createHash } from 'node:crypto';

/** From the root of the site to a page's own place. `/../` leads to the builds beside this one. */
export function relativize(html: string, file: string, base?: string): string {
  const up = base ?? '../'.repeat(file.split('/').length - 1);
  return html.replaceAll(
    /( (?:href|src|srcset|value|data-assets)=")\/(?!\/)([^"]*)"/g,
    (_, before: string, path: string) => `${before}${path === '' ? `${up}index.html` : `${up}${path}`}"`,
  );
}

const hashes = (texts: Iterable<string>): string =>
  [...new Set(texts)].map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`).join(' ');

const DECODED: Readonly<Record<string, string>> = {
  '&quot;': '"',
  '&#34;': '"',
  '&#39;': "'",
  '&amp;': '&',
  '&#38;': '&',
};

/**
 * The policy of a page: what stands in it, by hash, and the files beside it. Nothing is fetched, framed or sent, and nothing comes from another host.
 * The host may say the same in a header; `frame-ancestors` works only there.
 */
export function withPolicy(html: string): string {
  const texts = (pattern: RegExp): readonly string[] => [...html.matchAll(pattern)].map(([, text = '']) => text);
  const scripts = texts(/<script(?![^>]* src=)[^>]*>([^]*?)<\/script>/g);
  const styles = [
    ...texts(/<style[^>]*>([^]*?)<\/style>/g),
    ...texts(/<[^>]+ style="([^"]*)"/g).map((text) => text.replaceAll(/&[^;]+;/g, (code) => DECODED[code] ?? code)),
  ];
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${hashes(scripts)}`,
    `style-src 'self' 'unsafe-hashes' ${hashes(styles)}`,
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return html.replace(
    /(<meta charset="utf-8"\s*\/?>)/i,
    `$1<meta http-equiv="content-security-policy" content="${policy}">`,
  );
}
