import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { FieldError } from '../objects/status.ts';

/** What is particular to a kind of object. */
export interface Kind {
  /** Sets what the user left out; changes the object in place. */
  complete?(object: KubeObject): void;
  errors(object: KubeObject): FieldError[];
  /** Errors of a change; `previous` is the stored object. */
  changeErrors?(object: KubeObject, previous: KubeObject): FieldError[];
  /** The status of a new object. Absent for kinds without one. */
  status?(object: KubeObject, now: Date): JsonObject;
}
