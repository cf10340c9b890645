import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  CONFIGURATION_REFERENCE,
  configurationReference,
  REGENERATE_CONFIGURATION,
} from '../../../scripts/configuration-reference.ts';
import { sampleDescriptions } from '../../../scripts/configuration-sample.ts';
import { settings } from '../../../scripts/configuration-settings.ts';
import { DEFAULTS, DESCRIPTIONS } from '../../../scripts/configuration-descriptions.ts';
import * as schema from '../../../src/config/schema.ts';

const paths = settings().map(({ path }) => path);

describe('the reference of the configuration', () => {
  test('is what the schema and the sample say', () => {
    const isSame = readFileSync(CONFIGURATION_REFERENCE, 'utf8') === configurationReference();
    expect(isSame, `docs/reference/configuration.md is out of date: ${REGENERATE_CONFIGURATION}`).toBe(true);
  });

  test('has every setting of the sections that a file is parsed by', () => {
    const keys = (prefix: string, shape: object): string[] => Object.keys(shape).map((key) => `${prefix}.${key}`);
    const expected = [
      ...keys('providers[]', schema.provider.shape).filter((path) => !path.endsWith('ules')),
      ...keys('clusters[]', schema.cluster.shape).filter((path) => !path.endsWith('.impersonate')),
      'clusters[].impersonate.groups',
      ...keys('consoles[]', schema.console.shape),
      ...keys('workload[]', schema.workload.shape),
      ...keys('listen.api', schema.listen.shape.api.shape),
      ...keys('sessions', schema.sessions.def.innerType.shape),
      ...keys('limits', schema.limits.def.innerType.shape),
      'audit.sinks[].batchWait',
      'audit.policy[].resources[].group',
      'contact',
    ];
    expect(paths).toEqual(expect.arrayContaining(expected));
  });

  test.each([
    ['sessions.accessToken', 'a duration from 1m to 15m', '`5m`'],
    ['listen.api.address', 'an address with a port', '`0.0.0.0:6443`'],
    ['audit.sinks[].type', '`stdout`, `file`, `webhook`', '**required**'],
    ['providers[].usernamePrefix', 'at most 64 characters', 'the name and a colon'],
    ['clusters[].tokenFile', 'the path of a file', '**required**'],
    ['audit.execCommands', 'true', '`false`'],
  ])('says of %s what it takes and its default', (path, accepts, value) => {
    const [, item = ''] = configurationReference().split(`\n- \`${path}\`: `);
    const [entry = ''] = item.split('\n- ');
    const facts = entry.replaceAll(/\n +(?![ -])/g, ' ').split('\n');
    expect(facts.find((fact) => fact.startsWith('  - Value: '))).toContain(accepts);
    expect(facts.find((fact) => fact.startsWith('  - Default: '))).toContain(value);
  });

  test('has no description left over for a setting that is gone', () => {
    const gone = [...DEFAULTS.keys(), ...DESCRIPTIONS.keys()].filter((path) => !paths.includes(path));
    expect(gone).toEqual([]);
  });
});

test('the sample and the schema name the same defaults', () => {
  const said = sampleDescriptions();
  const differ = settings().flatMap(({ path, default: value }) => {
    const entry = said.get(path);
    // Behind `default:` may stand what the default does; then the value beside it is the default.
    const named = [entry?.default, entry?.shown].map((one) => one?.replaceAll('"', '').replace('[]', 'none'));
    return entry?.default === undefined || value === undefined || named.includes(value) ? [] : [`${path}: ${value}`];
  });
  expect(differ).toEqual([]);
});
