/** Functions of the library that ours replace. The library allows no redefinition, so ours have a prefix. */
export const REPLACED: ReadonlySet<string> = new Set([
  'indexOf',
  'lastIndexOf',
  'lowerAscii',
  'matches',
  'split',
  'substring',
  'trim',
  'upperAscii',
]);
/** The prefix. */
export const OWN = 'portcullis_';
