/** HTTP/1.1 as text: the head of a request, and what a response's head says about where the response ends. */
import { byHeaders } from '../../core/http/by-headers.ts';
import type { RawHeaders } from '../../core/http/header-names.ts';
import type { ResponseHead } from './response-parser.ts';
import type { UpstreamRequest } from './transport.ts';

/** RFC 9110 §9.3: their servers expect a length, also if there is no body. */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

/**
 * What llhttp accepts of the framing of a response and we do not.
 * @returns `close`: the response is good, and the connection is not used again
 */
export function judgeFraming(
  method: string,
  { status, raw, namesUpgrade }: ResponseHead,
  isUpgrade: boolean,
): { readonly error: string } | 'close' | 'keep' | 'upgrade' {
  if (status === 101 && isUpgrade && namesUpgrade) return 'upgrade';
  // Any other interim response is read, also one that was not requested (RFC 9110 §15.2): a pod's server sends 100 by itself.
  if (status === 101) return { error: 'a switch of protocol that was not requested' };
  let hasBody = false;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      // llhttp reads to the end of the connection what it does not know, and a proxy before us may have read otherwise.
      if (value.toLowerCase() !== 'chunked') return { error: 'an unknown transfer coding' };
      hasBody = true;
    } else if (name.length === 14 && name.toLowerCase() === 'content-length') {
      if (!/^\d+$/.test(value)) return { error: 'a length that is no number' };
      hasBody ||= value !== '0';
    }
  }
  // It has no body whatever it says (RFC 9112 §6.3), but its server may send one.
  return method === 'HEAD' || (hasBody && (status === 204 || status === 304)) ? 'close' : 'keep';
}

/** @returns the head as it is sent, without what frames a body */
export function requestHead(
  { method, target, headers: { repeated, own } }: UpstreamRequest,
  hostHeader: string,
): string {
  let head = `${method} ${target} HTTP/1.1\r\nHost: ${hostHeader}\r\n`;
  for (const list of repeated) head += repeatedLines(list);
  return head + linesOf(own);
}

function linesOf(list: RawHeaders): string {
  let lines = '';
  for (let index = 0; index + 1 < list.length; index += 2) lines += `${list[index]}: ${list[index + 1]}\r\n`;
  return lines;
}

const repeatedLines = byHeaders(linesOf);

/** @returns the end of the head of a request without a body */
export const endOfHead = (method: string): string => (WITH_BODY.has(method) ? 'Content-Length: 0\r\n\r\n' : '\r\n');
