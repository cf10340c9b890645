import type { RightsLimit } from '../core/delegation/rights.ts';
import { ok, type Result } from '../core/result.ts';
export const beyond = (_above: readonly RightsLimit[], _asked: RightsLimit): string | undefined => undefined;
export const parseLimit = (value: unknown): Result<RightsLimit, { readonly place: string; readonly message: string }> =>
  ok(value as RightsLimit);
export const describeLimits = (limits: readonly RightsLimit[]): string => JSON.stringify(limits);
