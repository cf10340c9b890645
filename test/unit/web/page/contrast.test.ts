import { describe, expect, test } from 'vitest';
import { assetText } from '../../../../src/web/page/assets.ts';

const css = assetText('portcullis.css');

/** The colours of a `:root` block. */
function coloursIn(block: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...block.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name = '', hex = '']) => [name, hex]),
  );
}

const blocks = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, block = '']) => coloursIn(block));
const schemes = { light: blocks[0] ?? {}, dark: { ...blocks[0], ...blocks[1] } };

/** WCAG 2.2, relative luminance. */
function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(left: string, right: string): number {
  const [lighter = 0, darker = 0] = [luminance(left), luminance(right)].toSorted((a, b) => b - a);
  return (lighter + 0.05) / (darker + 0.05);
}

/** AA: 4.5 for text (1.4.3), 3 for edges of fields and what has the focus (1.4.11). */
const pairs: readonly (readonly [string, readonly string[], number])[] = [
  ['text', ['ground', 'surface', 'sunken', 'tint', 'ok-tint', 'warn-tint', 'bad-tint'], 4.5],
  ['muted', ['ground', 'surface', 'sunken', 'tint'], 4.5],
  ['accent', ['ground', 'surface', 'sunken', 'tint'], 4.5],
  ['accent-strong', ['ground', 'surface', 'sunken', 'tint'], 4.5],
  ['on-accent', ['accent', 'accent-strong'], 4.5],
  ['ok', ['surface', 'sunken', 'ok-tint'], 4.5],
  ['warn', ['surface', 'sunken', 'warn-tint'], 4.5],
  ['bad', ['surface', 'sunken', 'bad-tint'], 4.5],
  ['edge', ['ground', 'surface'], 3],
];

describe.each(['light', 'dark'] as const)('in the %s scheme', (scheme) => {
  const colours = schemes[scheme];
  test.each(pairs)('%s can be read on all of %j', (ink, papers, least) => {
    for (const paper of papers) {
      expect(contrast(colours[ink] ?? '', colours[paper] ?? ''), `${ink} on ${paper}`).toBeGreaterThanOrEqual(least);
    }
  });
});

test('the two schemes are two', () => {
  expect(schemes.dark).not.toEqual(schemes.light);
});
