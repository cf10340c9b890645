import { expect, it } from 'vitest';
import { peerCertificate } from '../../../../src/core/credential/peer-certificate.ts';

it('the certificate of a connection is what was presented, or nothing', () => {
  const raw = Buffer.from('der');
  expect(peerCertificate({ getPeerCertificate: () => ({ raw }) })).toBe(raw);
  expect(peerCertificate({ getPeerCertificate: () => ({}) })).toBeUndefined();
  expect(peerCertificate({ getPeerCertificate: () => null })).toBeUndefined();
  expect(peerCertificate({})).toBeUndefined();
});
