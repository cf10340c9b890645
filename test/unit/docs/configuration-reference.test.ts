import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  CONFIGURATION_REFERENCE,
  configurationReference,
  REGENERATE_CONFIGURATION,
} from '../../../scripts/configuration-reference.ts';
import { settings } from '../../../scripts/configuration-settings.ts';
import { sampleDefaults } from './sample-defaults.ts';

describe('the reference of the configuration', () => {
  test('is what the schema says', () => {
    const isSame = readFileSync(CONFIGURATION_REFERENCE, 'utf8') === configurationReference();
    expect(isSame, `docs/reference/configuration.md is out of date: ${REGENERATE_CONFIGURATION}`).toBe(true);
  });

  test.each([
    ['sessions.accessToken', 'a duration from 1m to 15m', '`5m`'],
    ['listen.api.address', 'an address with a port', '`0.0.0.0:6443`'],
    ['audit.sinks[].type', '`stdout`, `file`, `webhook`', '**required**'],
    ['providers[].usernamePrefix', 'at most 64 characters', 'the name and a colon'],
    ['clusters[].tokenFile', 'the path of a file', '**required**'],
    ['audit.execCommands', 'true', '`false`'],
    ['stepUp[].rules[].apiGroups', 'a list of API groups', 'none'],
  ])('says of %s what it takes and its default', (path, accepts, value) => {
    const [, item = ''] = configurationReference().split(`\n- \`${path}\`: `);
    const [entry = ''] = item.split('\n- ');
    const facts = entry.replaceAll(/\n +(?![ -])/g, ' ').split('\n');
    expect(facts.find((fact) => fact.startsWith('  - Value: '))).toContain(accepts);
    expect(facts.find((fact) => fact.startsWith('  - Default: '))).toContain(value);
  });
});

test('the sample and the schema name the same defaults', () => {
  const said = sampleDefaults();
  const differ = settings().flatMap(({ path, default: value }) => {
    const entry = said.get(path);
    // Behind `default:` may stand what the default does; then the value beside it is the default.
    const named = [entry?.default, entry?.shown].map((one) => one?.replaceAll('"', '').replace('[]', 'none'));
    return entry?.default === undefined || value === undefined || named.includes(value) ? [] : [`${path}: ${value}`];
  });
  expect(differ).toEqual([]);
});
