import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { expect, it } from 'vitest';
import { VENDOR_HOSTS } from '../../../src/core/identity/provider-types.ts';
import { ROOT } from '../../support/deployed.ts';

it('names in docs/network-policies.md every host that Portcullis asks of each vendor', () => {
  const text = readFileSync(`${ROOT}docs/network-policies.md`, 'utf8');
  for (const host of Object.values(VENDOR_HOSTS).flat()) expect(text).toContain(`\`${host}\``);
});

it('has a chart of the version of the program', () => {
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string };
  expect(parse(readFileSync(`${ROOT}deploy/chart/Chart.yaml`, 'utf8'))).toMatchObject({ version, appVersion: version });
});
