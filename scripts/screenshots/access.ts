/** A request for a role, as its approver sees it. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { parse, stringify } from 'yaml';

const ROLE = {
  name: 'payments-readers',
  description: 'Read what the payments team runs, its secrets too',
  groups: ['granted:payments-readers'],
  requesters: ['demo:developers'],
  approval: { groups: ['demo:admins'], count: 1 },
  longest: '4h',
  reason: 'INC-[0-9]+.*',
};

/** Adds a role to the demo's configuration, which has none. @param file of the configuration */
export async function addRole(file: string): Promise<void> {
  const settings = parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, stringify({ ...settings, access: { roles: [ROLE] } }, { lineWidth: 0 }));
}

/** @param web the server's address @param page of a user who may ask @returns the path of the request */
export async function ask(web: string, page: Page): Promise<string> {
  await page.goto(`${web}/access?role=${ROLE.name}`);
  await page.getByLabel('Reason').fill('INC-4711: refunds fail since the last release');
  await page.getByRole('button', { name: 'Send the request' }).click();
  await page.waitForURL(/\/access\/[\w-]{22}$/);
  return new URL(page.url()).pathname;
}
