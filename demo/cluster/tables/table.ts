/** meta.k8s.io/v1 Table: what kubectl requests when it prints to a terminal. */
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { ResourceType } from '../resources.ts';
import { columnsOf } from './columns.ts';

/** How much of each object stands in its row (`includeObject`). */
export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableRequest {
  readonly resource: ResourceType;
  readonly items: readonly KubeObject[];
  readonly include: IncludeObject;
  readonly resourceVersion: string;
  readonly now: Date;
  /** False in all but the first event of a watch. */
  readonly headings: boolean;
}

function rowObject(object: KubeObject, include: IncludeObject): { object?: JsonObject } {
  if (include === 'None') return {};
  if (include === 'Object') return { object };
  return { object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata } };
}

export function tableOf(request: TableRequest): JsonObject {
  const columns = columnsOf(request.resource);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: request.resourceVersion },
    columnDefinitions: request.headings
      ? columns.map(({ name, type, format, priority }) => ({ name, type, format, description: name, priority }))
      : [],
    rows: request.items.map((object) => ({
      cells: columns.map((column) => column.cell(object, request.now)),
      ...rowObject(object, request.include),
    })),
  };
}
