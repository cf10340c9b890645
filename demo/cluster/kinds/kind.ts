import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { FieldFault } from '../objects/status.ts';

/** What is particular to a kind of object. */
export interface Kind {
  /** Sets what the person left out; changes the object in place. */
  complete?(object: KubeObject): void;
  faults(object: KubeObject): FieldFault[];
  /** Faults of a change; `previous` is what is stored. */
  changeFaults?(object: KubeObject, previous: KubeObject): FieldFault[];
  /** The status of a new object. Absent for kinds without one. */
  status?(object: KubeObject, now: Date): JsonObject;
}
