/**
 * Does the Dockerfile's steps one by one into a folder, where no builder is to be had: `node scripts/image.ts DIR`. What lands in DIR/root is the image
 * without Node and the libraries, which come from a base that is not here: `docker build .` is the way to the image itself.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join, matchesGlob, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CONTEXT = fileURLToPath(new URL('../', import.meta.url));

interface Instruction {
  readonly word: string;
  readonly rest: string;
}

export interface BuiltImage {
  /** Folder that stands for the image's `/`, without what comes from its base. */
  readonly root: string;
  /** What the last stage begins with. */
  readonly base: string;
  readonly workingDirectory: string;
  readonly user: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  /** Steps that need the base, which is not here, or copy what such a step makes: they were not done. */
  readonly left: readonly string[];
}

/** Lines that end in a backslash go on; comments may stand between them. */
function instructionsOf(dockerfile: string): readonly Instruction[] {
  const text = dockerfile.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n\s*/g, ' ');
  return text.split('\n').flatMap((line) => {
    const [, word, rest] = /^([A-Z]+)\s+(.*)$/.exec(line.trim()) ?? [];
    return word === undefined || rest === undefined ? [] : [{ word, rest: rest.trim() }];
  });
}

/**
 * @param into an empty folder, or one that is not there
 * @throws Error where a step fails, or is of a kind that is not known here
 */
export async function buildImage(into: string): Promise<BuiltImage> {
  const build = new Build(resolve(into), await ignoreRules());
  const dockerfile = await readFile(join(CONTEXT, 'Dockerfile'), 'utf8');
  for (const instruction of instructionsOf(dockerfile)) await build.step(instruction);
  return build.image();
}

class Build {
  readonly #into: string;
  readonly #ignored: (path: string) => boolean;
  readonly #facts = new Map<string, string>();
  readonly #left: string[] = [];
  readonly #changesBase = new Set<string>();
  #base = '';
  #stage = '';
  #workingDirectory = '/';

  constructor(into: string, ignored: (path: string) => boolean) {
    this.#into = into;
    this.#ignored = ignored;
  }

  async step({ word, rest }: Instruction): Promise<void> {
    if (word === 'FROM') return this.#begin(rest);
    if (word === 'WORKDIR') {
      this.#workingDirectory = rest;
      await mkdir(this.#inside('.'), { recursive: true });
    } else if (word === 'COPY') await this.#copy(rest.split(/\s+/));
    else if (word === 'RUN') await this.#run(rest);
    else if (!['ARG', 'EXPOSE', 'STOPSIGNAL', ...FACTS].includes(word)) throw new Error(`no step is called ${word}`);
    else this.#facts.set(word, `${this.#facts.get(word) ?? ''} ${rest}`.trim());
  }

  image(): BuiltImage {
    const fact = (word: string): string => this.#facts.get(word) ?? '';
    return {
      root: join(this.#into, 'root'),
      base: this.#base,
      workingDirectory: this.#workingDirectory,
      user: fact('USER'),
      environment: pairs(fact('ENV')),
      labels: pairs(fact('LABEL')),
      entrypoint: execForm(fact('ENTRYPOINT')),
      command: execForm(fact('CMD')),
      healthcheck: execForm(/ CMD (\[.*\])$/.exec(fact('HEALTHCHECK'))?.[1] ?? fact('HEALTHCHECK')),
      left: this.#left,
    };
  }

  async #begin(rest: string): Promise<void> {
    this.#base = rest.split(' ')[0] ?? '';
    this.#stage = / AS (\S+)$/i.exec(rest)?.[1] ?? '';
    this.#workingDirectory = '/';
    await mkdir(this.#folderOf(this.#stage), { recursive: true });
  }

  /** The last stage is the image; the others are only copied from. */
  #folderOf(stage: string): string {
    return join(this.#into, stage === 'runtime' ? 'root' : join('stages', stage));
  }

  #inside(path: string): string {
    return join(this.#folderOf(this.#stage), resolve(this.#workingDirectory, path));
  }

  async #copy(args: readonly string[]): Promise<void> {
    const stage = args.find((word) => word.startsWith('--from='))?.slice('--from='.length);
    const paths = args.filter((word) => !word.startsWith('--'));
    const to = paths.at(-1) ?? '.';
    for (const path of paths.slice(0, -1)) {
      const from = stage === undefined ? join(CONTEXT, path) : join(this.#folderOf(stage), path);
      if (stage !== undefined && this.#changesBase.has(stage) && !existsSync(from)) {
        this.#left.push(`COPY ${args.join(' ')}`);
        continue;
      }
      const name = path.split('/').at(-1) ?? path;
      await cp(from, this.#inside(to.endsWith('/') ? join(to, name) : to), {
        recursive: true,
        filter: (source) => stage !== undefined || !this.#ignored(relative(CONTEXT, source)),
      });
    }
  }

  async #run(command: string): Promise<void> {
    if (/^(npm|chmod|find) /.test(command)) {
      await run('sh', ['-euc', command], { cwd: this.#inside('.'), env: npmEnvironment() });
    } else {
      this.#left.push(`RUN ${command}`);
      this.#changesBase.add(this.#stage);
    }
  }
}

const FACTS = ['USER', 'ENV', 'LABEL', 'ENTRYPOINT', 'CMD', 'HEALTHCHECK'];

/** Where npm gets packages from on this machine. The rest of what an npm that started this process says is about another folder, and must not reach this one. */
const SOURCES = /^npm_config_(registry|cache|userconfig|globalconfig|cafile|strict_ssl|proxy|https_proxy|noproxy)$/i;

const npmEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => SOURCES.test(name) || !/^(npm_|init_cwd$|node_env$|node_options$)/i.test(name),
    ),
  );

/** `a=b c="d e"` */
const pairs = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))/g)].map(([, name, quoted, bare]) => [name, quoted ?? bare]),
  );

/** @throws Error if it is not a list of arguments: starting it would need a shell */
function execForm(text: string): readonly string[] {
  const args: unknown = text.startsWith('[') ? JSON.parse(text) : undefined;
  if (!Array.isArray(args)) throw new Error(`not in exec form: ${text}`);
  return args.map(String);
}

/** As a builder reads .dockerignore: the last rule that matches a path, or a folder above it, counts. */
async function ignoreRules(): Promise<(path: string) => boolean> {
  const lines = (await readFile(join(CONTEXT, '.dockerignore'), 'utf8')).split('\n');
  const rules = lines.filter((line) => line !== '' && !line.startsWith('#'));
  return (path) => {
    const parts = path.split('/');
    const folders = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    const last = rules.findLast((rule) => folders.some((each) => matchesGlob(each, rule.replace(/^!/, ''))));
    return last !== undefined && !last.startsWith('!');
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [into] = process.argv.slice(2);
  if (into === undefined) throw new Error('usage: node scripts/image.ts DIR');
  const { root, left } = await buildImage(into);
  console.log(`${root} has what the image adds to Node and its libraries. Not done, because the base is not here:`);
  for (const step of left) console.log(`  ${step}`);
}
