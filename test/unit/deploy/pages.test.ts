import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { expect, it } from 'vitest';
import { VENDOR_HOSTS } from '../../../src/idp/outbound.ts';
import { ROOT } from '../../support/deployed.ts';

const PAGES = ['install', 'network-policies', 'upgrade', 'break-glass', 'sizing'].map(
  (name) => `${ROOT}docs/${name}.md`,
);

it.each(PAGES)('%s has links that lead somewhere', (page) => {
  const links = [...readFileSync(page, 'utf8').matchAll(/\]\((?!https:)([^)#]+)(?:#[^)]*)?\)/g)].map(
    ([, path = '']) => path,
  );
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((path) => !existsSync(join(dirname(page), path)))).toEqual([]);
});

it('names in docs/network-policies.md every host that the gate asks of each vendor', () => {
  const text = readFileSync(`${ROOT}docs/network-policies.md`, 'utf8');
  for (const host of Object.values(VENDOR_HOSTS).flat()) expect(text).toContain(`\`${host}\``);
});

it('has a chart of the version of the program', () => {
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string };
  expect(parse(readFileSync(`${ROOT}deploy/chart/Chart.yaml`, 'utf8'))).toMatchObject({ version, appVersion: version });
});
