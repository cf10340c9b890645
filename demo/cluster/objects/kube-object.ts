/** What every Kubernetes object has. The rest of an object is JSON that only the handlers of its kind look into. */
import type { JsonObject, JsonValue } from './json.ts';

export interface ObjectMeta extends JsonObject {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  /** Decimal number of the last write, as a string. */
  resourceVersion?: string;
  /** RFC 3339, whole seconds. */
  creationTimestamp?: string;
}

export interface KubeObject extends JsonObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: JsonValue | undefined;
}

/** RFC 3339 with whole seconds, as metav1.Time. */
export const kubeTime = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`;
