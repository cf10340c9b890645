import { headless } from './head.ts';

/**
 * Anchors of the audit record have nothing to do with epochs: what is fenced, or in a store that was restarted, is on the record too. ARGV 1
 * to 5 are the head's and not looked at.
 *
 * ARGV 6: chain, 7: its anchor, 8: the most chains. Whose anchor is the oldest goes first, by the store's own time.
 */
export const putAnchor = headless(
  'put-anchor',
  `local P = KEYS[1]
local at = redis.call('TIME')
redis.call('HSET', P .. 'anchors', ARGV[6], ARGV[7])
redis.call('ZADD', P .. 'anchored', string.format('%.0f', tonumber(at[1]) * 1000000 + tonumber(at[2])), ARGV[6])
while redis.call('ZCARD', P .. 'anchored') > tonumber(ARGV[8]) do
  redis.call('HDEL', P .. 'anchors', redis.call('ZPOPMIN', P .. 'anchored')[1])
end
return {'OK'}
`,
  { stores: true },
);

/** Chain, anchor, and so on. */
export const listAnchors = headless(
  'list-anchors',
  `local listed = {'OK'}
for _, value in ipairs(redis.call('HGETALL', KEYS[1] .. 'anchors')) do listed[#listed + 1] = value end
return listed
`,
);
