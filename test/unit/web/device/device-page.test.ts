import { describe, expect, test } from 'vitest';
import { codePage, confirmPage, refusedPage } from '../../../../src/web/device/device-page.ts';

const pattern = /pattern="([^"]+)"/.exec(codePage({ csrf: 'c' }).toString())?.[1] ?? '';

describe('a browser lets a code through', () => {
  // As HTML has it: the whole value, with the v flag.
  const passes = (typed: string): boolean => new RegExp(`^(?:${pattern})$`, 'v').test(typed);

  test.each(['BCDF-GHJK', 'bcdf-ghjk', 'bcdfghjk', 'BCDF GHJK', ' b c d f — g h j k ', 'BCDF‑GHJK'])(
    'however it is typed: %s',
    (typed) => expect(passes(typed)).toBe(true),
  );
  test.each(['', 'BCDF', 'BCDF-GHJ', 'BCDF-GHJKL', 'BCDF-GHJ1', '1BCDF-GHJK'])(
    'but none that cannot be one: %s',
    (typed) => expect(passes(typed)).toBe(false),
  );
});

test('the error of a wrong code is next to the field, and the field refers to it', () => {
  const page = codePage({ csrf: 'c', error: 'This code has <expired>.' }).toString();
  expect(page).toContain('aria-invalid="true"');
  expect(page).toContain('This code has &lt;expired&gt;.');
  const described = /aria-describedby="([^"]+)"/.exec(page)?.[1]?.split(' ') ?? [];
  expect(described).toHaveLength(2);
  for (const id of described) expect(page).toContain(`id="${id}"`);
});

const content = {
  csrf: 'c',
  ticket: 't',
  userCode: ' bcdf ghjk',
  request: { clientName: 'kubectl', address: '198.51.100.7', userAgent: 'portcullis/1 (linux; x64)' },
  address: '203.0.113.7',
  location: 'the internet',
  providers: [
    { name: 'corp', type: 'okta' as const, last: false },
    { name: 'lab', type: 'github' as const, last: false },
  ],
};

describe('who decides about a device', () => {
  test('sees the code as the device shows it, the program, both addresses, where that is, and the cluster', () => {
    const page = confirmPage(content).toString();
    for (const text of ['BCDF-GHJK', 'kubectl', 'portcullis on Linux', '198.51.100.7', 'the internet', '203.0.113.7']) {
      expect(page).toContain(text);
    }
    expect(page).toContain('every cluster that you may use');
    expect(confirmPage({ ...content, request: { ...content.request, audiences: ['prod'] } }).toString()).toContain(
      'prod',
    );
  });

  test('reads nothing of a place that is not known', () => {
    expect(confirmPage({ ...content, location: undefined }).toString()).not.toMatch(/internet|network|computer/);
  });

  test('can refuse', () => {
    expect(confirmPage(content).toString()).toMatch(/action="\/device\/refuse"[\s\S]*value="t"[\s\S]*Deny/);
    expect(refusedPage('#help').toString()).toContain('tell #help');
  });
});
