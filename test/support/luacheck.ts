/** The linter for Lua, Debian's lua-check, where it is installed. With CI=true a missing tool is a failure. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';

const CONFIG = fileURLToPath(new URL('../../.luacheckrc', import.meta.url));

export const HAS_LUACHECK = process.env['CI'] === 'true' || spawnSync('luacheck', ['--version']).status === 0;

/**
 * Returns what luacheck finds in the texts, a line for each.
 * @param texts by their names
 * @param options of luacheck, beside those that the project has
 */
export function luacheck(texts: Readonly<Record<string, string>>, options: readonly string[] = []): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-lua-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, lua] of Object.entries(texts)) writeFileSync(join(folder, `${name}.lua`), lua);
  const own = ['--config', CONFIG, '--no-cache', '--no-color', '--formatter', 'plain'];
  const { stdout, status } = spawnSync('luacheck', ['.', ...own, ...options], { cwd: folder, encoding: 'utf8' });
  // 1 is for warnings, 2 for errors in a text; above that it has not looked, and null is for no luacheck.
  expect([0, 1, 2]).toContain(status);
  return stdout.split('\n').filter((line) => line !== '');
}
