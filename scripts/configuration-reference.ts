/**
 * Writes docs/reference/configuration.md from the schema and the commented sample: `node scripts/configuration-reference.ts`. A unit test
 * compares the two. What may be set, its form, its range and its default are the schema's; the words are the sample's.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TOP_LEVEL } from '../src/config/schema.ts';
import { sampleWords, sentences } from './configuration-sample.ts';
import { settings, type Setting } from './configuration-settings.ts';
import { MORE_DEFAULTS, MORE_WORDS, SECTION_WORDS } from './configuration-descriptions.ts';

export const CONFIGURATION_REFERENCE = fileURLToPath(new URL('../docs/reference/configuration.md', import.meta.url));

export const REGENERATE_CONFIGURATION = 'node scripts/configuration-reference.ts';

const HEAD = `# Configuration

<!-- Written by \`${REGENERATE_CONFIGURATION}\` from the schema and the commented sample. Do not edit. -->

\`portcullis serve --config FILE\` reads one YAML file. [deploy/examples/portcullis.yaml](../../deploy/examples/portcullis.yaml) shows every setting in its place, and
\`portcullis config check --config FILE\` tells every fault at once. One provider, one cluster and Redis can be set by environment alone: [.env.example](../../.env.example).

- An unknown key is a fault.
- A secret is never in the file: a setting whose name ends in \`File\` names a file that holds it. Relative paths count from the configuration file.
- Durations are written \`90s\`, \`5m\`, \`12h\`; sizes \`16KiB\`, \`1MiB\`.
- \`[]\` in a name stands for each item of a list. **Needed** means that there is no default.
`;

/** The page. @throws where a setting has no words */
export function configurationReference(): string {
  const said = sampleWords();
  const all = settings();
  const chapters = TOP_LEVEL.map((key) => {
    const own = all.filter(({ path }) => path.split(/[.[]/)[0] === key);
    const [only] = own;
    const intro = SECTION_WORDS.get(key) ?? (only?.path === key ? undefined : said.get(key)?.meaning);
    const rows = own.map((setting) => row(setting, said.get(setting.path)));
    return [
      `## ${key}`,
      '',
      ...(intro === undefined || intro === '' ? [] : [intro, '']),
      '| Setting | What it is | Default | What it means |',
      '|---|---|---|---|',
      ...rows,
      '',
    ].join('\n');
  });
  return [HEAD, ...chapters].join('\n');
}

function row(
  setting: Setting,
  said: { readonly meaning: string; readonly default: string | undefined } | undefined,
): string {
  const { path, accepts } = setting;
  const explained = isExplanation(setting, said?.default) ? [said?.default ?? ''] : [];
  const meaning = MORE_WORDS.get(path) ?? sentences([said?.meaning ?? '', ...explained]);
  if (meaning === '')
    throw new Error(
      `say in deploy/examples/portcullis.yaml or scripts/configuration-descriptions.ts what ${path} means`,
    );
  return `| \`${path}\` | ${cell(accepts)} | ${cell(defaultOf(setting, said?.default))} | ${cell(meaning)} |`;
}

/** Behind `default:` the sample says what the default is, or, where the value beside it is the default, what that does. */
const isExplanation = ({ default: known }: Setting, named: string | undefined): boolean =>
  known !== undefined && named !== undefined && known !== 'none' && bare(named) !== bare(known);

function defaultOf({ path, needed, default: value }: Setting, named: string | undefined): string {
  const known = MORE_DEFAULTS.get(path);
  if (known !== undefined) return known;
  if (value !== undefined) return value === 'none' ? value : `\`${value}\``;
  return needed ? '**needed**' : (named ?? 'none');
}

const bare = (text: string): string => text.replaceAll('"', '');

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(CONFIGURATION_REFERENCE, configurationReference());
