/** A single executable for Linux, with the Node that runs this, or its counterpart for the other processor. */
import { blobOf, withBlob } from './executable.ts';
import { nodeBinary, type Architecture } from './node-binary.ts';
import type { SeaContent } from './sea-folder.ts';

/** @returns undefined where Node for that processor cannot be had */
export function linuxExecutable(architecture: Architecture, content: SeaContent): Buffer | undefined {
  const node = nodeBinary(architecture);
  return node === undefined ? undefined : withBlob(node, blobOf(content));
}
