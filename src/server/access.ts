/** Access requests with their real dependencies. */
import type { RequestHandler } from 'express';
import { accessApi, createAccess, type Access, type AccessDeps } from '../access/access.ts';
import type { Config } from '../config/config.ts';
import { settleRecheck } from '../oauth/recheck-outcome.ts';
import type { Recheck } from '../oauth/recheck.ts';
import type { Authenticate } from '../proxy/proxy.ts';
import type { ServerContext } from './server-context.ts';

/** @param given.recheck asks a session's provider; what follows from it is done here */
export function accessRequests(
  config: Config,
  context: ServerContext,
  given: Pick<AccessDeps, 'providers' | 'mayUse'> & {
    readonly recheck: Recheck;
    readonly authenticate: Authenticate;
    readonly leaving: AbortSignal;
  },
): { readonly access: Access; readonly api: RequestHandler } {
  const { recheck, providers, mayUse, authenticate, leaving } = given;
  const { store, guard, audit, clock, logger } = context;
  const deps = {
    config,
    store,
    guard,
    audit,
    clock,
    logger,
    providers,
    mayUse,
    recheck: async (session: string) => {
      const outcome = await recheck(session);
      await settleRecheck({ guard, audit, clock }, outcome);
      return outcome;
    },
  };
  const access = createAccess(deps);
  const authenticated = async (request: Parameters<Authenticate>[0]) => authenticate(request);
  return { access, api: accessApi({ ...deps, authenticate: authenticated, leaving }, access.requests) };
}
