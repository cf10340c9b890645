import { expect, test } from 'vitest';
import { ProblemError } from '../../../src/http/problem.ts';
import * as rejections from '../../../src/services/step-up/rejections.ts';
import { readPage } from '../docs/markdown.ts';

test('the reference has every problem of the API, with its status', () => {
  const rows = [...readPage('docs/reference/step-up-api.md').matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)];
  const documented = Object.fromEntries(rows.map(([, code = '', status]) => [code, Number(status)]));
  const { delegated, workload, unprovable, codesOff, notFound, codeRejected } = rejections;
  const all = [delegated(), workload(), unprovable('corp'), codesOff(), notFound(), codeRejected()];
  expect(all.every((each) => each instanceof ProblemError)).toBe(true);
  expect(documented).toMatchObject(Object.fromEntries(all.map(({ problem, status }) => [problem, status])));
});
