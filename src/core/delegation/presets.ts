/**
 * What the presets of a delegated session allow: get, list and watch of objects, and logs.
 *
 * An attacker who directs an agent wants a credential or a way into a pod, and some reads give one. So a preset names
 * the subresources that it allows, and a new one is out of reach until it is named here: `…/proxy` sends any request to
 * a pod, a service or a kubelet, `pods/exec` and its like are tunnels, and an aggregated API may have a console as a
 * subresource (`virtualmachineinstances/vnc`). Of resources it names what is left out, because a cluster has its own
 * resource definitions, whose objects an agent has to read.
 *
 * Left out in every group: Secrets (but for `read-only-with-secrets`), certificate signing requests, and whatever is
 * called a token (`oauthaccesstokens`). A cluster's own resource that keeps a credential in an object of another name
 * can be read; rules leave it out.
 *
 * No path that is not a resource: `/metrics` has no objects, `/debug/pprof/heap` has memory of the API server, and
 * `/logs/` files of its machine. Rules can name one.
 */
import type { RightsPreset } from './rights.ts';
import { isRead } from './effective-verb.ts';

const READ_SUBRESOURCES: ReadonlySet<string> = new Set(['', 'log', 'scale', 'status']);

/** What a preset decides by. It never depends on the API group, the namespace or the name. */
export interface PresetQuestion {
  /** As `effectiveVerb` returns it. */
  readonly verb: string;
  readonly resource: string;
  readonly subresource: string;
}

export function isInPreset(preset: RightsPreset, { verb, resource, subresource }: PresetQuestion): boolean {
  if (!isRead(verb) || !READ_SUBRESOURCES.has(subresource)) return false;
  if (resource === 'secrets') return preset === 'read-only-with-secrets';
  return resource !== '' && resource !== 'certificatesigningrequests' && !resource.endsWith('tokens');
}

/** Returns whether everything that `asked` allows is allowed by `above`. */
export const isPresetWithin = (asked: RightsPreset, above: RightsPreset): boolean =>
  asked === above || above === 'read-only-with-secrets';
