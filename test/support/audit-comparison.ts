/** Compares an audit event of Portcullis with the event that a kube-apiserver wrote for the same request, field by field. */
import { expect } from 'vitest';
import { auditUri, type AuditEvent } from '../../src/core/audit/event.ts';
import type { Identity } from '../../src/core/identity/identity.ts';

/** An `audit.k8s.io/v1` Event as kube-apiserver writes it at level Metadata. */
export interface ApiServerEvent {
  readonly kind: string;
  readonly apiVersion: string;
  readonly level: string;
  readonly auditID: string;
  readonly stage: string;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: Partial<Identity>;
  readonly impersonatedUser?: Partial<Identity>;
  readonly sourceIPs: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: Readonly<Record<string, string>>;
  readonly responseStatus?: { readonly code: number; readonly [field: string]: unknown };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** The one that both servers of a pair must say alike, to the letter. */
const SAME = ['kind', 'apiVersion', 'level', 'stage', 'verb', 'sourceIPs', 'userAgent'] as const;

/** Fields of an object that the API server knows from the body, which Portcullis does not read. */
const FROM_BODY = ['uid', 'resourceVersion'];

/** Both say the same. What differs by design (docs/reference/audit-events.md) is held to that design here. */
export function expectSameLine(ours: AuditEvent, theirs: ApiServerEvent): void {
  const what = `${ours.verb} ${ours.requestURI} ${ours.stage}`;
  for (const field of SAME) expect([field, ours[field]], what).toEqual([field, theirs[field]]);
  expect(ours.requestURI, what).toBe(auditUri(theirs.requestURI));
  expect(ours.objectRef, what).toEqual(referenceWithoutBody(ours.verb, ours.objectRef?.name, theirs.objectRef));
  // kube-apiserver writes 101 when it takes the connection over, and then relays whatever the kubelet responds: the client's code is here.
  const rejectedByKubelet = theirs.responseStatus?.code === 101 && ours.responseStatus?.code === 500;
  const code = rejectedByKubelet ? 500 : theirs.responseStatus?.code;
  expect(ours.responseStatus, what).toEqual({ metadata: {}, code });
  expect(theirs.responseStatus?.['metadata'], what).toEqual({});
  expectSameUser(ours, theirs);
  for (const time of ['requestReceivedTimestamp', 'stageTimestamp'] as const) {
    expect(ours[time]).toMatch(MICRO_TIME);
    expect(theirs[time]).toMatch(MICRO_TIME);
  }
  for (const name of Object.keys(ours.annotations)) expect(name).toMatch(/^portcullis\.dev\/[a-z-]+$/);
  for (const name of Object.keys(theirs.annotations ?? {})) expect(name).not.toMatch(/^portcullis\.dev\//);
  // In the order in which Kubernetes writes them: those that only one of the two has left out.
  const order = Object.keys(theirs).filter((field) => Object.hasOwn(ours, field));
  expect(Object.keys(ours).filter((field) => Object.hasOwn(theirs, field))).toEqual(order);
}

function referenceWithoutBody(
  verb: string,
  name: string | undefined,
  theirs: ApiServerEvent['objectRef'],
): Readonly<Record<string, string>> | undefined {
  if (theirs === undefined) return undefined;
  const unknown = verb === 'create' && name === undefined ? [...FROM_BODY, 'name'] : FROM_BODY;
  return Object.fromEntries(Object.entries(theirs).filter(([field]) => !unknown.includes(field)));
}

/** There the service account of Portcullis impersonates the user. Here the user is first, and the impersonated user is second. */
function expectSameUser({ user, impersonatedUser, annotations }: AuditEvent, theirs: ApiServerEvent): void {
  // In a cluster that was there before, the demo has its own account name.
  expect(theirs.user.username).toMatch(/^system:serviceaccount:(portcullis(?:-demo)?):\1$/);
  const seen = impersonatedUser ?? user;
  const originalUser = impersonatedUser === undefined ? {} : { 'portcullis.dev/original-user': [user.username] };
  expect(theirs.impersonatedUser).toEqual({
    ...seen,
    groups: [...(seen.groups ?? []), 'system:authenticated'],
    extra: {
      ...seen.extra,
      ...originalUser,
      'portcullis.dev/session': [annotations['portcullis.dev/session']],
      ...furtherExtra(annotations),
    },
  });
}

/** Of a delegated session: who acts, and in which session. Of a request with groups that were granted: by which grants. */
const furtherExtra = (annotations: AuditEvent['annotations']): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(
    (['portcullis.dev/actor', 'portcullis.dev/delegated-session', 'portcullis.dev/grant-id'] as const).flatMap((key) =>
      annotations[key] === undefined ? [] : [[key, [annotations[key]]]],
    ),
  );

/** Logs that are not followed end on their own: the API server still writes an event at their start, Portcullis does not. */
export const stagesHere = (theirs: readonly ApiServerEvent[]): readonly ApiServerEvent[] =>
  theirs.filter(
    ({ stage, objectRef, requestURI }) =>
      !(stage === 'ResponseStarted' && objectRef?.['subresource'] === 'log' && !requestURI.includes('follow=true')),
  );

const REASON = 'authorization.k8s.io/reason';
const FIXED_TIME = '2031-01-01T00:00:00.000000Z';

/** The line without what is of one machine, one day or one run. */
export function scrubbed(event: ApiServerEvent, auditID: string): ApiServerEvent {
  const { impersonatedUser, annotations } = event;
  const { uid: _uid, extra: _extra, ...account } = event.user;
  const { uid: _objectUid, resourceVersion: _version, ...objectRef } = event.objectRef ?? {};
  const status = { ...event.responseStatus, code: event.responseStatus?.code ?? 0 } as Record<string, unknown>;
  if (typeof status['details'] === 'object' && status['details'] !== null) {
    const { uid: _detailUid, ...details } = status['details'] as Record<string, unknown>;
    status['details'] = details;
  }
  return {
    ...event,
    auditID,
    user: account,
    ...(impersonatedUser === undefined
      ? {}
      : {
          impersonatedUser: {
            ...impersonatedUser,
            extra: { ...impersonatedUser.extra, 'portcullis.dev/session': ['SESSION'] },
          },
        }),
    ...(event.objectRef === undefined ? {} : { objectRef }),
    responseStatus: status as ApiServerEvent['responseStatus'] & object,
    requestReceivedTimestamp: FIXED_TIME,
    stageTimestamp: FIXED_TIME,
    // Which of several bindings has allowed it differs from run to run.
    ...(annotations?.[REASON]?.startsWith('RBAC: allowed')
      ? { annotations: { ...annotations, [REASON]: 'RBAC: allowed' } }
      : {}),
  };
}
