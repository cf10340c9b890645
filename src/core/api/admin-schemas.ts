/**
 * The admin API's schemas, by their names in the OpenAPI document and in generated clients.
 */
import { z } from 'zod';
import {
  auditEventsSchema,
  clustersSchema,
  componentSchema,
  drillResultSchema,
  lockViewSchema,
  freshSignInSchema,
  locksSchema,
  problemSchema,
  providersSchema,
  receiptSchema,
  recentRequestSchema,
  recentRequestsSchema,
  replicaDrillSchema,
  replicaSchema,
  replicasSchema,
  revocationResultSchema,
  revocationScopeSchema,
  sessionPageSchema,
  sessionSchema,
  unlockedSchema,
} from './responses.ts';
import { accessEndedSchema, accessPageSchema, accessRequestSchema } from './access.ts';
import { drillSchema, lockSchema, revocationSchema } from './requests.ts';
import { ADMIN_PROBLEMS } from './admin-problems.ts';

export const ADMIN_SCHEMAS = {
  Session: sessionSchema,
  SessionPage: sessionPageSchema,
  RecentRequest: recentRequestSchema,
  RecentRequests: recentRequestsSchema,
  RevocationRequest: revocationSchema,
  Revocation: revocationResultSchema,
  RevocationScope: revocationScopeSchema,
  Receipt: receiptSchema,
  LockRequest: lockSchema,
  Lock: lockViewSchema,
  Locks: locksSchema,
  Unlocked: unlockedSchema,
  FreshSignIn: freshSignInSchema,
  Replica: replicaSchema,
  Replicas: replicasSchema,
  Component: componentSchema,
  Clusters: clustersSchema,
  Providers: providersSchema,
  DrillRequest: drillSchema,
  Drill: drillResultSchema,
  ReplicaDrill: replicaDrillSchema,
  AccessRequest: accessRequestSchema,
  AccessPage: accessPageSchema,
  AccessWithdrawn: accessEndedSchema,
  AuditEvents: auditEventsSchema,
  Problem: problemSchema.extend({
    code: z.enum(Object.keys(ADMIN_PROBLEMS)).describe('stable: programs branch on it'),
  }),
} as const;
