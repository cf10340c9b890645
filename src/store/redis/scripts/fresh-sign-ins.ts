/** The scripts of fresh sign-ins that are asked for. */
import { FRESH_KEPT_SECONDS } from '../../lifetimes.ts';
import { script } from './head.ts';

/** Returns since when the account's next sign-in must be a fresh one (s), or ''. ARGV 6: account digest. */
export const findFreshSignIn = script(
  'find-fresh-sign-in',
  `
local mark = redis.call('ZSCORE', P .. 'fresh', ARGV[6])
if not mark or seconds >= tonumber(mark) + ${FRESH_KEPT_SECONDS} then return {'OK', ''} end
return {'OK', mark}
`,
);

/** Lifts the mark and returns the outcome. ARGV 6: account digest, 7: later revocations stay in force (s), or ''. */
export const liftFreshSignIn = script(
  'lift-fresh-sign-in',
  `
local mark = redis.call('ZSCORE', P .. 'fresh', ARGV[6])
if not mark or seconds >= tonumber(mark) + ${FRESH_KEPT_SECONDS} then return {'OK', 'none'} end
if ARGV[7] ~= '' and tonumber(mark) > tonumber(ARGV[7]) then return {'OK', 'newer'} end
redis.call('ZREM', P .. 'fresh', ARGV[6])
return {'OK', 'lifted'}
`,
);
