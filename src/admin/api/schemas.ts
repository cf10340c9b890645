/**
 * The admin API's schemas by the names that generated clients and the OpenAPI document know them by.
 */
import { z } from 'zod';
import {
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
  sessionPageSchema,
  sessionSchema,
  unlockedSchema,
} from '../../core/admin-api/responses.ts';
import { drillSchema, lockSchema, REVOCATION_TARGETS, revocationSchema } from '../../core/admin-api/requests.ts';
import { PROBLEMS } from '../problem.ts';

export const SCHEMAS = {
  Session: sessionSchema,
  SessionPage: sessionPageSchema,
  RecentRequest: recentRequestSchema,
  RecentRequests: recentRequestsSchema,
  RevocationRequest: revocationSchema,
  Revocation: revocationResultSchema,
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
  Problem: problemSchema.extend({ code: z.enum(Object.keys(PROBLEMS)).describe('stable, to branch on') }),
} as const;

export type SchemaName = keyof typeof SCHEMAS;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Formats say it in fewer letters than the patterns that zod adds to them. */
const withoutPattern = ({ jsonSchema }: { readonly jsonSchema: z.core.JSONSchema.BaseSchema }): void => {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
};

/** What a body must have beside its fields' own forms, as JSON Schema says it; the schemas' own refinements judge it. */
const FORMS: Readonly<Partial<Record<SchemaName, JsonSchema>>> = {
  RevocationRequest: {
    description: 'Exactly one target, and a reason. `lock` is for one account: `account`, `username` or `workload`.',
    oneOf: REVOCATION_TARGETS.map((target) => ({ required: [target] })),
    dependentRequired: { workload: ['subject'], subject: ['workload'] },
  },
};

/** Below `components.schemas`. */
export const schemaRef = (name: SchemaName): { readonly $ref: string } => ({ $ref: `#/components/schemas/${name}` });

/** As JSON Schema 2020-12, which OpenAPI 3.1 takes as it is: what a caller may send, and what it has to expect. */
export function componentSchemas(): Readonly<Record<string, JsonSchema>> {
  const registry = z.registry<{ readonly id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) {
    registry.add(schema, { id, ...FORMS[id as SchemaName] });
  }
  const uri = (id: string): string => `#/components/schemas/${id}`;
  const { schemas } = z.toJSONSchema(registry, { io: 'input', uri, override: withoutPattern });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $schema: _dialect, $id: _id, ...schema }]) => [name, schema]),
  );
}

/** The parameters of a query, each with its schema. */
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
