/** Functions of the library in whose place ours are called; it lets nobody redefine one, so ours have names of their own. */
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
export const OWN = 'portcullis_';
