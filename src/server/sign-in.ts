/** How users, programs and workloads sign in: the authorization server, the pages, the admin API and re-checks. */
import type { RequestListener } from 'node:http';
import { delegationsApi, sessionsApi, stepUpApi } from '../api/api.ts';
import type { Config } from '../config/config.ts';
import { accessRequests, type ServerAccess } from './access.ts';
import { componentHealth } from './component-health.ts';
import type { GrantDelegation } from '../contracts/authorization.ts';
import type { CreateDelegation } from '../core/delegation/delegation.ts';
import {
  allowed,
  consolesOf,
  identityProviders,
  metadataHosts,
  optional,
  registeredClients,
  workloadRules,
} from './dependencies.ts';
import { createDelegations, type DelegationOutcome } from '../services/delegation/delegation.ts';
import { audiences } from '../oauth/audiences.ts';
import { createBrowserRecheck } from '../oauth/browser-recheck.ts';
import { createConsoleTokens } from '../oauth/console-token.ts';
import { createDelegationExchange, type ExchangeForDelegation } from '../oauth/delegation/exchange.ts';
import { settleRecheck } from '../oauth/recheck-outcome.ts';
import { createRecheck, type Recheck } from '../oauth/recheck.ts';
import { createAuthorizationServer } from '../oauth/server.ts';
import { createStreamRecheck, type StreamRecheck } from '../oauth/stream-recheck.ts';
import { createWorkloadExchange } from '../oauth/workload/exchange.ts';
import type { Authenticate, UpstreamCluster } from '../proxy/proxy.ts';
import { addressSet } from '../proxy/listener/proxy-protocol.ts';
import { costlyRules, observedProviders, prepare, refusedSignIns } from './server-metrics.ts';
import { createStepUps, type StepUpOutcome } from '../services/step-up/step-up.ts';
import { createWeb, errorDocument, type Web } from '../web/web.ts';
import type { ServerContext } from './server-context.ts';
import { defined } from '../core/defined.ts';

/**
 * Creates our authorization server, the pages and the admin API, and the route from `/-/` on the api listener to
 * both.
 */
export async function createSignIn(
  config: Config,
  context: ServerContext,
  {
    authenticate,
    clusters,
    leaving,
  }: {
    readonly authenticate: Authenticate;
    readonly clusters: readonly UpstreamCluster[];
    readonly leaving: AbortSignal;
  },
): Promise<{
  readonly web: Web;
  readonly machineHandler: RequestListener;
  readonly streams: StreamRecheck;
  readonly access: ServerAccess;
}> {
  const { clock, logger, metrics, keys, reloading, store, guard, audit, endings } = context;
  const apiCa = await optional(config.listen.api.publicCaFile);
  const allows = allowed(config, costlyRules(logger, clock));
  const providers = observedProviders(identityProviders(config, reloading, logger), { metrics, logger, clock });
  prepare(providers, logger);
  const workloads = new Set(config.workload.map(({ name }) => name));
  const recheck = createRecheck({ sessions: store.sessions, providers, workloads, clock, endings });
  const settledRecheck: Recheck = async (session) => {
    const outcome = await recheck(session);
    await settleRecheck({ guard, audit, clock }, outcome);
    return outcome;
  };
  const rules = workloadRules(config, reloading);
  const tooManySignIns = refusedSignIns(metrics, clock);
  const { publicUrl, clockSkew } = config;
  const exchange = createWorkloadExchange({ rules, publicUrl, store, guard, audit, clock, clockSkew });
  const delegationDeps = {
    config,
    store,
    guard,
    audit,
    clock,
    logger,
    mayUse: allows,
    // Called after all of this is made.
    grant: (...given: Parameters<GrantDelegation>) => authorizationServer.delegate(...given),
    countDelegation: (outcome: DelegationOutcome) => metrics.delegation(outcome),
  };
  const delegations = createDelegations(delegationDeps);
  const authorizationServer = createAuthorizationServer({
    config,
    store,
    recheck,
    endings,
    exchange,
    delegationClients: registeredClients(config, reloading),
    outboundTo: metadataHosts(config, reloading),
    exchangeForDelegation: delegationExchange(config, context, { create: delegations.create, mayUse: allows }),
    guard,
    audit,
    signingKeys: keys.signing,
    cookieKeys: keys.cookieKeys,
    mayUse: allows,
    ...defined({ apiCa }),
    clock,
    log: logger,
    countRefresh: (outcome) => metrics.refresh(outcome),
    countExchange: (rule, outcome) => metrics.signIn(rule, outcome),
    tooManySignIns,
    renderErrorPage: (error) => errorDocument(error, config.contact),
  });
  const mintToken = createConsoleTokens({
    config,
    sessions: store.sessions,
    guard,
    audiences: audiences(config, allows),
    signingKey: () => keys.signing.current,
    clock,
  });
  const delegationApi = delegationsApi(
    {
      ...delegationDeps,
      authenticate: async (request) => authenticate(request),
      ...defined({ apiCa }),
    },
    delegations,
  );
  const given = { providers, recheck: settledRecheck, mayUse: allows, authenticate, leaving };
  const { access, api } = accessRequests(config, context, given);
  const stepUpDeps = {
    config,
    store,
    guard,
    audit,
    clock,
    logger,
    authenticate: async (request: Parameters<Authenticate>[0]) => authenticate(request),
    countStepUp: (outcome: StepUpOutcome) => metrics.stepUp(outcome),
  };
  const stepUps = createStepUps(stepUpDeps);
  const web = createWeb({
    programs: [delegationApi, api, sessionsApi(stepUpDeps), stepUpApi(stepUpDeps, stepUps)],
    access: access.requests,
    results: access.results,
    stepUps,
    recheckUser: settledRecheck,
    recheck: createBrowserRecheck({ sessions: config.sessions, recheck: settledRecheck, clock }),
    config,
    store,
    providers,
    authorizations: authorizationServer.authorizations,
    cookieKeys: keys.cookieKeys,
    devices: authorizationServer.devices,
    guard,
    audit,
    logger,
    metrics,
    clock,
    authenticate: async (request) => authenticate(request),
    oauthHandler: (...request) => authorizationServer.handleWeb(...request),
    tooManySignIns,
    apiCa: () => apiCa,
    consoles: { consoles: consolesOf(config, reloading), guard, mayUse: allows, mintToken },
    tails: context.tails,
    questions: context.questions,
    ...defined({ history: context.history }),
    endings,
    health: componentHealth(config, clusters, context),
    isTrustedProxy: addressSet(config.listen.trustedProxies),
    leaving,
  });
  const machineHandler: RequestListener = (req, res) => {
    if ((req.url ?? '').startsWith('/-/oauth/')) authorizationServer.handleApi(req, res);
    else if (req.url === '/-/ca.crt' && apiCa !== undefined)
      res.writeHead(200, { 'content-type': 'application/x-pem-file' }).end(apiCa);
    else web.adminApi(req, res);
  };
  return { web, machineHandler, streams: streamRecheck(config, context, recheck), access };
}

/** Exchanges users' tokens for those of delegated sessions. */
const delegationExchange = (
  config: Config,
  { keys, store, guard, clock }: ServerContext,
  { create, mayUse }: { readonly create: CreateDelegation; readonly mayUse: ReturnType<typeof allowed> },
): ExchangeForDelegation =>
  createDelegationExchange({
    publicUrl: config.publicUrl,
    verifying: () => keys.verifying,
    sessions: store.sessions,
    guard,
    audiences: audiences(config, mayUse),
    create,
    most: config.delegation.most,
    isWithin: (cidrs, address) => addressSet(cidrs)(address),
    clock,
  });

/** Checks users with open streams at their providers again. */
const streamRecheck = (
  { sessions }: Config,
  { guard, store, audit, logger, clock }: ServerContext,
  recheck: Recheck,
): StreamRecheck =>
  createStreamRecheck({
    guard,
    sessions: store.sessions,
    recheck,
    audit,
    log: logger,
    everySeconds: sessions.recheck,
    graceSeconds: sessions.recheckGrace,
    clock,
    random: Math.random,
  });
