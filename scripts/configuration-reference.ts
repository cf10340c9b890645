/**
 * Writes docs/reference/configuration.md from the schema: `node scripts/configuration-reference.ts`. A unit test
 * compares the two.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configuration } from '../src/config/schema.ts';
import { metaOf } from '../src/config/section.ts';
import { settings, type Setting } from './configuration-settings.ts';
import { entry, wrapped } from './reference-layout.ts';

export const CONFIGURATION_REFERENCE = fileURLToPath(new URL('../docs/reference/configuration.md', import.meta.url));

export const REGENERATE_CONFIGURATION = 'node scripts/configuration-reference.ts';

const HEAD = `# Configuration

<!-- Written by \`${REGENERATE_CONFIGURATION}\` from the schema. Do not edit. -->

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
  const all = settings();
  const chapters = Object.entries(configuration.shape).map(([key, type]) => {
    const own = all.filter(({ path }) => path.split(/[.[]/)[0] === key);
    const { text = '' } = own[0]?.path === key ? {} : metaOf(type);
    return [`## ${key}`, '', ...(text === '' ? [] : [wrapped(text), '']), ...own.map(row), ''].join('\n');
  });
  return [HEAD, ...chapters].join('\n');
}

function row({ path, text, accepts, needed, default: value, otherwise }: Setting): string {
  if (text === '') throw new Error(`describe ${path} beside its key in src/config: .meta({ text })`);
  const known = value === undefined || value === 'none' ? value : `\`${value}\``;
  return entry(path, text, [
    ['Value', accepts],
    ['Default', otherwise ?? known ?? (needed ? '**required**' : 'none')],
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(CONFIGURATION_REFERENCE, configurationReference());
