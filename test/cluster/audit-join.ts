/** Portcullis's audit log and the API server's, joined by `auditID`. */
import { expect } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { expectSameLine, type ApiServerEvent } from '../support/audit-comparison.ts';
import { auditedBy } from '../support/audit-log.ts';
import type { RealInstance } from './real-instance.ts';

/** Reads that Portcullis does not audit, unless they are rejected (docs/architecture.md#invariant-16). */
const UNRECORDED = /^\/(livez|readyz|version|openapi)\b/;

/** Requests that went on to the API server: a rejection by Portcullis itself names its reason, and so does a stream that was cut later. */
const isForwarded = ({ stage, annotations, responseStatus }: AuditEvent): boolean =>
  stage === 'ResponseComplete' &&
  annotations['portcullis.dev/cluster'] !== undefined &&
  annotations['portcullis.dev/event'] === undefined &&
  (annotations['portcullis.dev/reason'] === undefined || (responseStatus?.code ?? 0) < 400);

/**
 * Each request has one line in either record, and both say the same of it: what was asked, for whom, and what was answered.
 * @returns how many were compared
 */
export async function expectJoinedAudit(real: RealInstance): Promise<number> {
  const forwarded = (await auditedBy(real.instance)).filter(isForwarded);
  // The API server writes its event when it has seen the end, which for a watch that was cut may be later than Portcullis has.
  const complete = async (): Promise<readonly ApiServerEvent[]> =>
    (await real.apiServerAudit()).filter(({ stage }) => stage === 'ResponseComplete');
  const ids = forwarded.map(({ auditID }) => auditID);
  await expect
    .poll(async () => new Set((await complete()).map(({ auditID }) => auditID)), { timeout: 10_000 })
    .toSatisfy(
      (seen: ReadonlySet<string>) => ids.every((id) => seen.has(id)),
      'each audit event of Portcullis has one there',
    );
  const theirs = await complete();
  for (const event of forwarded) {
    const counterparts = theirs.filter(({ auditID }) => auditID === event.auditID);
    expect(counterparts).toHaveLength(1);
    for (const counterpart of counterparts) expectSameLine(event, counterpart);
  }
  const known = new Set(ids);
  const unknown = theirs.filter(
    ({ auditID, impersonatedUser, requestURI }) =>
      impersonatedUser?.extra?.['portcullis.dev/session'] !== undefined &&
      !known.has(auditID) &&
      !UNRECORDED.test(requestURI),
  );
  expect(unknown, 'requests that came through Portcullis without an audit event').toEqual([]);
  return forwarded.length;
}
