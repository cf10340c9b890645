import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { USERS } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { Visitor } from '../../demo/visitor.ts';
import { startTestInstance } from '../support/instance.ts';

describe('the users of the demo', () => {
  let demo: RunningDemo;
  beforeAll(async () => {
    demo = await startTestInstance();
  });
  afterAll(() => demo.stop());

  it('are all in users.txt, with their passwords and groups', async () => {
    const lines = (await readFile(`${demo.files.directory}/users.txt`, 'utf8')).trimEnd().split('\n');
    expect(lines.slice(1).map((line) => line.split(/\s{2,}/).slice(0, 3))).toEqual([
      ['alice', 'alice-demo', 'developers'],
      ['bob', 'bob-demo', '-'],
      ['root', 'root-demo', 'admins'],
      ['vera', 'vera-demo', 'auditors'],
    ]);
  });

  it.each([
    ['alice', 403, false],
    ['bob', 403, false],
    ['root', 200, true],
    ['vera', 200, false],
  ])('%s at the admin pages: %i', async (name, status, mayAct) => {
    const who = USERS.find((user) => user.name === name);
    if (who === undefined) throw new Error(`there is no user ${name}`);
    const browser = new Visitor(who);
    await browser.visit(`${demo.urls.web}/login/start?provider=demo&to=me`);
    const page = await browser.visit(`${demo.urls.web}/admin`);
    expect(page.status).toBe(status);
    expect(page.html.includes('href="/admin/revoke?')).toBe(mayAct);
  });
});
