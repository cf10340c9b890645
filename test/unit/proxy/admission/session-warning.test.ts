import { describe, expect, it } from 'vitest';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { responseHead } from '../../../../src/proxy/upstream/response-head.ts';

/** RFC 9111 (obsoleted Warning): warn-code SP warn-agent SP warn-text, which is a quoted-string (RFC 9110 §5.6.4). */
const WARNING = /^(\d{3}) ([!-~]+) "((?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t -~])*)"$/;

function warningOf(left: number): string | undefined {
  const target = '/api/v1/pods';
  const head = responseHead(200, [], {
    admitted: { info: requestInfo('GET', target), prefix: '', target, impersonates: true, sessionExpiresAt: left },
    origin: 'https://api.test:6443',
    auditId: 'a',
    publicUrl: 'https://xn--bcher-kva.example:8443',
    nowSeconds: 0,
  });
  if (!head.ok) throw new Error('refused');
  const at = head.value.indexOf('Warning');
  return at === -1 ? undefined : head.value[at + 1];
}

describe('the warning before a session ends', () => {
  it.each([600, 599.5, 61, 60, 1, 0.5])('is one well-formed value with %d s left, and names the command', (left) => {
    const [, code, agent, text] = WARNING.exec(warningOf(left) ?? '') ?? [];
    expect([code, agent]).toEqual(['299', '-']);
    expect(text).toMatch(/^your session ends in ([1-9]|10) min; run `portcullis login --server https:\/\/\S+`$/);
  });

  it.each([601, 0, -1, Number.POSITIVE_INFINITY])('is not there with %d s left', (left) => {
    expect(warningOf(left)).toBeUndefined();
  });
});
