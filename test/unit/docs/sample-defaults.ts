/** The defaults that the commented sample names. */
import { readFileSync } from 'node:fs';
import { ROOT } from './markdown.ts';

export interface SampleDefault {
  /** As written: a value, or how it comes about. Undefined where the sample names none. */
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
export function sampleDefaults(): ReadonlyMap<string, SampleDefault> {
  const found = new Map<string, SampleDefault>();
  const note = (path: string, said: SampleDefault): void => {
    if (found.get(path)?.default === undefined) found.set(path, said);
  };
  let steps: readonly Step[] = [];
  for (const line of readFileSync(`${ROOT}deploy/examples/portcullis.yaml`, 'utf8').split('\n')) {
    const shown = SHOWN.exec(line)?.groups;
    const setting = SETTING.exec(line)?.groups;
    if (shown !== undefined) {
      note(pathOf([...steps.slice(0, -1), { indent: 0, key: shown['key'] ?? '' }]), saidOf(shown));
    } else if (setting !== undefined) {
      steps = stepTo(steps, setting);
      note(pathOf(steps), saidOf(setting));
    }
  }
  return found;
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

/** `# default`: the value shown is the default; `# default: none; …` names it; `# optional`: there is none. */
function saidOf(setting: Readonly<Record<string, string | undefined>>): SampleDefault {
  const { value = '', behind = '' } = setting;
  const { word, named } =
    /^(?<word>default|optional)(?:: (?<named>[^;.]*(?:\.\w[^;.]*)*))?(?:[;.] ?.*)?$/.exec(behind)?.groups ?? {};
  return {
    default: word === undefined ? undefined : word === 'optional' ? 'none' : (named ?? plain(value)),
    shown: plain(value),
  };
}

const plain = (value: string): string => value.trim().replaceAll(/^'|'$/g, '');
