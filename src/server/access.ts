/** Access requests with their real dependencies. */
import type { RequestHandler } from 'express';
import { accessApi } from '../api/api.ts';
import {
  createAccess,
  createAccessNotices,
  createRoleUsageCount,
  type Access,
  type AccessDeps,
  type AccessNotices,
  type RoleUsageCount,
  type NoticeReceiver,
} from '../services/access/access.ts';
import { assertWebhookUrl } from '../config/access-notify.ts';
import type { Config } from '../config/config.ts';
import { webhookSecretsIn } from '../core/access/webhook-signature.ts';
import type { Recheck } from '../oauth/recheck.ts';
import type { Authenticate } from '../proxy/proxy.ts';
import { reachBy } from './dependencies.ts';
import type { ServerContext } from './server-context.ts';
import { defined } from '../core/defined.ts';

export interface ServerAccess extends Access {
  readonly notices: AccessNotices;
  readonly usage: RoleUsageCount;
}

/** @param given.recheck asks a session's provider, and does what follows from it */
export function accessRequests(
  config: Config,
  context: ServerContext,
  given: Pick<AccessDeps, 'providers' | 'mayUse'> & {
    readonly recheck: Recheck;
    readonly authenticate: Authenticate;
    readonly leaving: AbortSignal;
  },
): { readonly access: ServerAccess; readonly api: RequestHandler } {
  const { recheck, providers, mayUse, authenticate, leaving } = given;
  const { store, guard, audit, clock, logger, metrics } = context;
  const notices = accessNotices(config, context);
  const deps = {
    config,
    store,
    guard,
    audit,
    clock,
    logger,
    providers,
    mayUse,
    notify: notices.notify,
    countRequest: (...counted: Parameters<typeof metrics.accessRequest>) => metrics.accessRequest(...counted),
    countGrant: (...counted: Parameters<typeof metrics.accessGrant>) => metrics.accessGrant(...counted),
    countBreakGlass: (role: string) => metrics.accessBreakGlass(role),
    observeActive: (grants: ReadonlyMap<string, number>) => metrics.accessGrantsActive(grants),
    recheck,
  };
  const usage = createRoleUsageCount({
    store: store.access,
    roles: config.access.roles.map(({ name }) => name),
    observe: (found) => metrics.roleUsage(found),
    clock,
    logger,
  });
  const access = { ...createAccess(deps), notices, usage };
  const authenticated = async (request: Parameters<Authenticate>[0]) => authenticate(request);
  return { access, api: accessApi({ ...deps, authenticate: authenticated, leaving }, access.requests) };
}

/** Webhooks that are told of access requests, with what their files hold now. */
function accessNotices(
  { access, publicUrl }: Config,
  { reloading, clock, logger, metrics }: ServerContext,
): AccessNotices {
  const receivers = access.notify.map((receiver): NoticeReceiver => {
    const { name, format, timeout, url, urlFile, secretFile, events, roles } = receiver;
    const check = (secrets: string): void => void webhookSecretsIn(secrets);
    return {
      name,
      format,
      timeout,
      // The configuration has checked that there is one of the two.
      url: urlFile === undefined ? () => url ?? '' : reloading.secret(urlFile, assertWebhookUrl),
      ...(secretFile === undefined ? {} : { secrets: reloading.secret(secretFile, check) }),
      ...reachBy(receiver, reloading),
      ...defined({ events, roles }),
    };
  });
  const countNotice = (...counted: Parameters<typeof metrics.accessNotice>): void => metrics.accessNotice(...counted);
  return createAccessNotices({ receivers, publicUrl, clock, logger, countNotice });
}
