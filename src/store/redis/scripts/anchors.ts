/** The scripts of the anchors of the audit log. */
import { headless } from './head.ts';

/**
 * Stores an anchor of the audit log. Anchors are independent of epochs: events of a fenced replica, or from before
 * a restart of the store, are audited too. ARGV 1 to 5 are the head's and ignored.
 *
 * ARGV 6: chain, 7: its anchor, 8: the most chains. The chain with the oldest anchor is removed first, by the
 * store's own time.
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

/** Returns chain, anchor, and so on. */
export const listAnchors = headless(
  'list-anchors',
  `local listed = {'OK'}
for _, value in ipairs(redis.call('HGETALL', KEYS[1] .. 'anchors')) do listed[#listed + 1] = value end
return listed
`,
);
