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
} from '../../core/api/responses.ts';
import { accessDecisionSchema, accessPageSchema, accessRequestSchema } from '../../core/api/access.ts';
import { drillSchema, lockSchema, REVOCATION_TARGETS, revocationSchema } from '../../core/api/requests.ts';
import { PROBLEMS } from '../../services/admin/admin.ts';

export const SCHEMAS = {
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
  AccessDecision: accessDecisionSchema,
  AuditEvents: auditEventsSchema,
  Problem: problemSchema.extend({
    code: z.enum(Object.keys(PROBLEMS)).describe('stable: programs branch on it'),
  }),
} as const;

export type SchemaName = keyof typeof SCHEMAS;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Removes the patterns that zod adds to formats, because the format says the same and is shorter. */
const withoutPattern = ({ jsonSchema }: { readonly jsonSchema: z.core.JSONSchema.BaseSchema }): void => {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
};

/** The rules across the fields of a body, in JSON Schema. The refinements of the zod schemas enforce them. */
const REFINEMENTS: Readonly<Partial<Record<SchemaName, JsonSchema>>> = {
  RevocationRequest: {
    description:
      'Exactly one target, and a reason. `lock` needs a target that is one account: `account`, `username` or `workload`.',
    oneOf: REVOCATION_TARGETS.map((target) => ({ required: [target] })),
    dependentRequired: { workload: ['subject'], subject: ['workload'] },
  },
};

/** Returns a reference to a schema below `components.schemas`. */
export const schemaRef = (name: SchemaName): { readonly $ref: string } => ({ $ref: `#/components/schemas/${name}` });

/** Returns the schemas of requests and responses as JSON Schema 2020-12, which OpenAPI 3.1 takes unchanged. */
export function componentSchemas(): Readonly<Record<string, JsonSchema>> {
  const registry = z.registry<{ readonly id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) {
    registry.add(schema, { id, ...REFINEMENTS[id as SchemaName] });
  }
  const uri = (id: string): string => `#/components/schemas/${id}`;
  const { schemas } = z.toJSONSchema(registry, { io: 'input', uri, override: withoutPattern });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $schema: _dialect, $id: _id, ...schema }]) => [name, schema]),
  );
}

/** Returns the parameters of a query, each with its schema. */
export function queryParameters(query: z.ZodObject): readonly JsonSchema[] {
  const { properties = {}, required = [] } = z.toJSONSchema(query, { io: 'input', override: withoutPattern });
  const needed = new Set(required);
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as { readonly description?: string };
    return {
      name,
      in: 'query',
      required: needed.has(name),
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}
