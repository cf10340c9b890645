import { describe } from 'vitest';

import { beginningConforms, endingConforms } from './access-grants.ts';
import { limitsConform, requestsConform } from './access-requests.ts';
import type { OpenStore } from './fixtures.ts';

export function accessConforms(open: OpenStore): void {
  describe('requests', () => {
    requestsConform(open);
  });
  describe('beginning', () => {
    beginningConforms(open);
  });
  describe('ending', () => {
    endingConforms(open);
  });
  describe('limits', () => {
    limitsConform(open);
  });
}
