import { describe } from 'vitest';

import { accessConforms } from './access.ts';
import { anchorsConform } from './anchors.ts';
import { approvalsConform } from './approvals.ts';
import { artefactsConform } from './artefacts.ts';
import { delegatedSessionsConform } from './delegated.ts';
import type { OpenStore } from './fixtures.ts';
import { freshSignInsConform } from './fresh.ts';
import { liveRecordConforms } from './live-audit.ts';
import { locksConform } from './locks.ts';
import { logConforms } from './log.ts';
import { providerSessionsConform } from './provider-sessions.ts';
import { recentRequestsConform } from './recent.ts';
import { revocationsConform } from './revocations.ts';
import { sessionOrdersConform } from './session-orders.ts';
import { sessionsConform } from './sessions.ts';

/**
 * The suite that every store passes. Only the interface is used, so that what a test shows is what a caller may
 * rely on.
 * @param open gives a fresh, empty store for each test; anyone who opens it closes it
 */
export function storeConforms(name: string, open: OpenStore): void {
  describe(`store: ${name}`, () => {
    describe('artefacts', () => {
      artefactsConform(open);
    });
    describe('sessions', () => {
      sessionsConform(open);
    });
    describe('delegated sessions', () => {
      delegatedSessionsConform(open);
    });
    describe('access requests', () => {
      accessConforms(open);
    });
    describe('orders and filters of sessions', () => {
      sessionOrdersConform(open);
    });
    describe('recent requests', () => {
      recentRequestsConform(open);
    });
    describe('sessions at a provider', () => {
      providerSessionsConform(open);
    });
    describe('revocation log', () => {
      logConforms(open);
    });
    describe('revocations', () => {
      revocationsConform(open);
    });
    describe('approvals', () => {
      approvalsConform(open);
    });
    describe('locks', () => {
      locksConform(open);
    });
    describe('fresh sign-ins', () => {
      freshSignInsConform(open);
    });
    describe('live record', () => {
      liveRecordConforms(open);
    });
    describe('anchors of the audit log', () => {
      anchorsConform(open);
    });
  });
}
