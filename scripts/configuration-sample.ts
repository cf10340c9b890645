/** The commented sample's description of each setting: the comments before and behind its line, and the default that it names. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SAMPLE = fileURLToPath(new URL('../deploy/examples/portcullis.yaml', import.meta.url));

export interface SampleDescription {
  /** What it means; empty where the sample says nothing. */
  readonly meaning: string;
  /** As written: a value, or how it comes about, or what it is for. Undefined where the sample names none. */
  readonly default: string | undefined;
  /** The value that stands there. */
  readonly shown: string;
}

interface Step {
  readonly indent: number;
  /** `[]` for an item of a list. */
  readonly key: string;
}

/** A key with its value, and a comment behind it; `- ` before it where it begins an item. */
const SETTING = /^(?<indent> *)(?<item>- )?(?<key>[A-Za-z]+):(?<value>(?: (?!#)\S.*?)?)(?:\s+# (?<behind>.*))?$/;

/** A setting that is shown in a comment, because it belongs to one type of provider alone. */
const SHOWN = /^ *#\s{3}(?<key>[A-Za-z]+):(?<value> .*?)(?:\s+# (?<behind>.*))?$/;

/** @returns each setting by its path, such as `providers[].usernamePrefix` */
export function sampleDescriptions(): ReadonlyMap<string, SampleDescription> {
  const descriptions = new Map<string, SampleDescription>();
  const note = (path: string, said: SampleDescription): void => {
    const before = descriptions.get(path);
    if (before === undefined || (before.meaning === '' && before.default === undefined)) descriptions.set(path, said);
  };
  let steps: readonly Step[] = [];
  let before: string[] = [];
  let heading: string | undefined;
  for (const line of readFileSync(SAMPLE, 'utf8').split('\n')) {
    const shown = SHOWN.exec(line)?.groups;
    if (shown !== undefined && heading !== undefined) {
      note(pathOf([...steps.slice(0, -1), { indent: 0, key: shown['key'] ?? '' }]), saidOf(shown, [heading]));
      continue;
    }
    const comment = /^ *# (.*)$/.exec(line)?.[1];
    if (comment !== undefined) {
      if (/^\w+ alone.*:$/.test(comment)) heading = `Of type ${comment.replace(/:$/, '.')}`;
      else before.push(comment);
      continue;
    }
    const setting = SETTING.exec(line)?.groups;
    if (setting !== undefined) {
      steps = stepTo(steps, setting);
      note(pathOf(steps), saidOf(setting, before));
    }
    before = [];
    heading = undefined;
  }
  return descriptions;
}

function stepTo(steps: readonly Step[], setting: Readonly<Record<string, string | undefined>>): readonly Step[] {
  const { indent = '', item, key = '' } = setting;
  const column = indent.length;
  if (item === undefined) return [...steps.filter((step) => step.indent < column), { indent: column, key }];
  const above = steps.filter((step) => step.indent <= column);
  return [...above, { indent: column + 1, key: '[]' }, { indent: column + 2, key }];
}

const pathOf = (steps: readonly Step[]): string =>
  steps
    .map(({ key }) => key)
    .join('.')
    .replaceAll('.[]', '[]');

/** `# default` says that the value shown is the default, `# default: none; …` names it or explains it, `# optional` that there is none. */
function saidOf(setting: Readonly<Record<string, string | undefined>>, before: readonly string[]): SampleDescription {
  const { value = '', behind = '' } = setting;
  const parts = /^(?<word>default|optional)(?:: (?<named>[^;.]*(?:\.\w[^;.]*)*))?(?:[;.] ?(?<rest>.*))?$/.exec(
    behind,
  )?.groups;
  const { word, named, rest = '' } = parts ?? { rest: behind };
  const said = [before.join(' '), ...(word === 'optional' ? [named ?? ''] : []), rest];
  return {
    meaning: sentences(said),
    default: word === undefined ? undefined : word === 'optional' ? 'none' : (named ?? plain(value)),
    shown: plain(value),
  };
}

const plain = (value: string): string => value.trim().replaceAll(/^'|'$/g, '');

export const sentences = (parts: readonly string[]): string =>
  parts
    .filter((part) => part !== '')
    .map(sentence)
    .join(' ');

/** A sentence that begins with a value stays as that is written. */
function sentence(text: string): string {
  const begun = /^\w+(?: \(default\))?[:,]/.test(text) ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return /[.:!?)]$/.test(begun) ? begun : `${begun}.`;
}
