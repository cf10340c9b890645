/** Addresses for show: they follow from the name and lie in blocks kept for documentation (RFC 5737), so nothing answers there. */
import type { KubeObject } from '../objects/kube-object.ts';

/** @param block first three numbers, with the dot behind them */
export function addressFor(object: KubeObject, block: '198.51.100.' | '203.0.113.'): string {
  const text = Buffer.from(`${object.metadata.namespace}/${object.metadata.name}`);
  return `${block}${text.reduce((sum, byte) => (sum * 31 + byte) % 252, 7) + 2}`;
}
