/**
 * Writes docs/reference/configuration.md from the schema and the commented sample: `node scripts/configuration-reference.ts`. A unit test
 * compares the two. What may be set, its form, its range and its default are the schema's; the descriptions are the sample's.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TOP_LEVEL } from '../src/config/schema.ts';
import { sampleDescriptions, sentences } from './configuration-sample.ts';
import { settings, type Setting } from './configuration-settings.ts';
import { DEFAULTS, DESCRIPTIONS, SECTION_DESCRIPTIONS } from './configuration-descriptions.ts';
import { entry, wrapped } from './reference-layout.ts';

export const CONFIGURATION_REFERENCE = fileURLToPath(new URL('../docs/reference/configuration.md', import.meta.url));

export const REGENERATE_CONFIGURATION = 'node scripts/configuration-reference.ts';

const HEAD = `# Configuration

<!-- Written by \`${REGENERATE_CONFIGURATION}\` from the schema and the commented sample. Do not edit. -->

\`portcullis serve --config FILE\` reads one YAML file.
[deploy/examples/portcullis.yaml](../../deploy/examples/portcullis.yaml) shows every setting in its place, and
\`portcullis config check --config FILE\` reports all validation errors together. One provider, one cluster and Redis can
be set by environment variables alone: [.env.example](../../.env.example).

- An unknown key is an error.
- A secret is never in the file: a setting whose name ends in \`File\` names a file that contains it. Relative paths are
  relative to the configuration file.
- Durations are written \`90s\`, \`5m\`, \`12h\`; sizes \`16KiB\`, \`1MiB\`.
- \`[]\` in a name stands for each item of a list. **Required** means that there is no default.
`;

/** The page. @throws where a setting has no description */
export function configurationReference(): string {
  const sample = sampleDescriptions();
  const all = settings();
  const chapters = TOP_LEVEL.map((key) => {
    const own = all.filter(({ path }) => path.split(/[.[]/)[0] === key);
    const [only] = own;
    const intro = SECTION_DESCRIPTIONS.get(key) ?? (only?.path === key ? undefined : sample.get(key)?.meaning);
    const rows = own.map((setting) => row(setting, sample.get(setting.path)));
    return [`## ${key}`, '', ...(intro === undefined || intro === '' ? [] : [wrapped(intro), '']), ...rows, ''].join(
      '\n',
    );
  });
  return [HEAD, ...chapters].join('\n');
}

function row(
  setting: Setting,
  said: { readonly meaning: string; readonly default: string | undefined } | undefined,
): string {
  const { path, accepts } = setting;
  const explained = isExplanation(setting, said?.default) ? [said?.default ?? ''] : [];
  const meaning = DESCRIPTIONS.get(path) ?? sentences([said?.meaning ?? '', ...explained]);
  if (meaning === '')
    throw new Error(`describe ${path} in deploy/examples/portcullis.yaml or scripts/configuration-descriptions.ts`);
  return entry(path, meaning, [
    ['Value', accepts],
    ['Default', defaultOf(setting, said?.default)],
  ]);
}

/** Behind `default:` the sample says what the default is, or, where the value beside it is the default, what that does. */
const isExplanation = ({ default: known }: Setting, named: string | undefined): boolean =>
  known !== undefined && named !== undefined && known !== 'none' && bare(named) !== bare(known);

function defaultOf({ path, needed, default: value }: Setting, named: string | undefined): string {
  const known = DEFAULTS.get(path);
  if (known !== undefined) return known;
  if (value !== undefined) return value === 'none' ? value : `\`${value}\``;
  return needed ? '**required**' : (named ?? 'none');
}

const bare = (text: string): string => text.replaceAll('"', '');

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(CONFIGURATION_REFERENCE, configurationReference());
