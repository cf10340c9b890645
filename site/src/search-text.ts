/** What can be searched: a record for each section of a page, so that a result leads to its heading. */

export interface SearchRecord {
  readonly id: string;
  readonly page: string;
  readonly heading: string;
  readonly text: string;
}

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

const plain = (html: string): string =>
  html
    .replaceAll(/<[^>]*>/g, (tag) => (/^<\/?(?:code|em|strong|a|span)\b/.test(tag) ? '' : ' '))
    .replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|([a-z]+));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      return decimal === undefined ? (NAMED[name ?? ''] ?? whole) : String.fromCodePoint(Number(decimal));
    })
    .replaceAll(/\s+/g, ' ')
    .trim();

/** @returns the text before the first heading, and one record for each heading */
export function searchRecords({
  slug,
  title,
  html,
}: {
  slug: string;
  title: string;
  html: string;
}): readonly SearchRecord[] {
  const [before = '', ...sections] = html.split(/(?=<h[2-4] id=")/);
  return [
    { id: `${slug}.html`, page: title, heading: '', text: plain(before) },
    ...sections.map((section) => {
      const [whole = '', anchor = '', heading = ''] =
        /^<h[2-4] id="([^"]*)"[^>]*>([^]*?)<\/h[2-4]>/.exec(section) ?? [];
      return {
        id: `${slug}.html#${anchor}`,
        page: title,
        heading: plain(heading),
        text: plain(section.slice(whole.length)),
      };
    }),
  ];
}
