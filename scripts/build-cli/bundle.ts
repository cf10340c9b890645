/**
 * The laptop's commands as JavaScript, with their libraries, and the notices that the libraries' licences ask for.
 *
 * A cached credential must not pay for the rest: reading 600 kB of script costs as much time as starting Node. So there are two bundles,
 * the way of a cached credential and the whole program, and three ways to put them together.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

export interface Bundles {
  /** CommonJS, because a single executable takes nothing else. Asks for the program as `./program.ts`. */
  readonly main: string;
  readonly program: string;
  readonly packages: readonly BundledPackage[];
  /** Names and licences of the bundled packages. */
  readonly notices: string;
}

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** As its package.json has it. */
  readonly license: string;
  /** Its folder. */
  readonly dir: string;
}

interface Part {
  readonly code: string;
  readonly moduleIds: readonly string[];
}

/** Modules of the server. None may be in the bundle: it would mean a wrong import. */
const SERVER_ROOM = /[\\/]src[\\/](?:config|store|idp|oauth|revocation|proxy|web|audit|telemetry)[\\/]/;

/** What main.ts loads when it is asked for. */
const PROGRAM = './program.ts';

/** Oldest Node whose grammar the file keeps to, so that an older one can still print that it is too old. */
const GRAMMAR = 'node18';

/** @param root the checkout */
export async function bundle(root: string): Promise<Bundles> {
  const program = await part(root, 'src/cli-package/program.ts');
  const main = await part(root, 'src/cli-package/main.ts', PROGRAM);
  const packages = packagesOf(program.moduleIds);
  return { main: main.code.trimEnd(), program: program.code.trimEnd(), packages, notices: noticesOf(packages) };
}

/** For a file `program.cjs` beside it. */
export const besideProgram = ({ main }: Bundles): string => joined(main, 'require("./program.cjs")');

/** All in one file. The program is the body of a function, which is read in full all the same. */
export function oneFile({ main, program }: Bundles): string {
  const wrapped = [
    'const program = () => {',
    'const module = { exports: {} };',
    'const { exports } = module;',
    program,
  ];
  return joined(main, 'program()', [...wrapped, 'return module.exports;', '};'].join('\n'));
}

/** For a single executable with an asset `program`. */
export function besideAsset({ main }: Bundles): string {
  const program = [
    'const program = () => {',
    'const module = { exports: {} };',
    'const { compileFunction } = require("node:vm");',
    'const code = require("node:sea").getAsset("program", "utf8");',
    'compileFunction(code, ["exports", "module", "require"])(module.exports, module, require);',
    'return module.exports;',
    '};',
  ];
  return joined(main, 'program()', program.join('\n'));
}

const joined = (main: string, program: string, before = ''): string =>
  `#!/usr/bin/env node\n${before}\n((require) => {\n${main}\n})((id) => (id === "${PROGRAM}" ? ${program} : require(id)));\n`;

/** @param other what `input` loads when it is asked for and is not in this part */
async function part(root: string, input: string, other?: string): Promise<Part> {
  const build = await rolldown({
    cwd: root,
    input,
    platform: 'node',
    // The keyring's library is native code; it is loaded when a session is renewed, and may be absent.
    external: (id) => id === other || id === '@napi-rs/keyring',
    transform: { target: GRAMMAR },
  });
  const { output } = await build.generate({
    format: 'cjs',
    codeSplitting: false,
    dynamicImportInCjs: false,
    minify: true,
    comments: false,
  });
  await build.close();
  const [chunk, ...others] = output;
  if (others.length > 0)
    throw new Error(`the bundle has more than one file: ${others.map((one) => one.fileName).join(', ')}`);
  const stray = chunk.moduleIds.find((id) => SERVER_ROOM.test(id));
  if (stray !== undefined) throw new Error(`${stray} is of the server and must not be in the laptop's bundle`);
  return chunk;
}

/** In order of names, so that two builds say the same. */
function packagesOf(moduleIds: readonly string[]): readonly BundledPackage[] {
  const packages = new Map<string, string>();
  for (const id of moduleIds) {
    const found = /^(.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+))[\\/]/.exec(id);
    if (found?.[1] !== undefined && found[2] !== undefined) packages.set(found[2].replace('\\', '/'), found[1]);
  }
  return [...packages]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, dir]) => {
      const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<string, unknown>;
      return { name, dir, version: String(manifest['version']), license: String(manifest['license']) };
    });
}

const noticesOf = (packages: readonly BundledPackage[]): string =>
  `The command line of Portcullis holds these libraries.\n\n${packages.map(noticeOf).join('\n')}`;

function noticeOf({ name, dir, version, license }: BundledPackage): string {
  const files = readdirSync(dir).filter((file) => /^(?:licen[cs]e|notice)(?:\.|$)/i.test(file));
  const texts = files.toSorted().map((file) => readFileSync(join(dir, file), 'utf8').trim());
  return [`--- ${name} ${version} (${license})`, '', ...texts, ''].join('\n');
}
