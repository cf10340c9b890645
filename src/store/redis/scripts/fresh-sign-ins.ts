import { FRESH_KEPT_SECONDS } from '../../lifetimes.ts';
import { script } from './head.ts';

/** Since when the account's next sign-in has to be a fresh one (s), or ''. ARGV 6: account digest. */
export const findFreshSignIn = script(
  'find-fresh-sign-in',
  `
local mark = redis.call('ZSCORE', P .. 'fresh', ARGV[6])
if not mark or seconds >= tonumber(mark) + ${FRESH_KEPT_SECONDS} then return {'OK', ''} end
return {'OK', mark}
`,
);

/** 1 where one stood. ARGV 6: account digest. */
export const liftFreshSignIn = script(
  'lift-fresh-sign-in',
  `
local mark = redis.call('ZSCORE', P .. 'fresh', ARGV[6])
redis.call('ZREM', P .. 'fresh', ARGV[6])
return {'OK', mark and seconds < tonumber(mark) + ${FRESH_KEPT_SECONDS} and 1 or 0}
`,
);
