/** A PATH of few programs, as on a machine that has only what every system has. */
import { existsSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const EVERYWHERE = [
  'sh',
  'awk',
  'cat',
  'cut',
  'date',
  'gzip',
  'mkdir',
  'mktemp',
  'mv',
  'rm',
  'sha256sum',
  'tar',
  'tr',
  'uname',
];

/**
 * Returns a new folder with what every system has, and `tools` of this machine.
 * @param scripts further programs by name, in the language of sh
 * @throws Error where this machine lacks one
 */
export function fewTools(parent: string, tools: readonly string[], scripts: Readonly<Record<string, string>>): string {
  const bin = mkdtempSync(join(parent, 'bin-'));
  for (const tool of [...EVERYWHERE, ...tools]) {
    const found = ['/usr/bin', '/bin'].map((place) => join(place, tool)).find((file) => existsSync(file));
    if (found === undefined) throw new Error(`${tool} is not on this machine`);
    symlinkSync(found, join(bin, tool));
  }
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  return bin;
}
