/**
 * The pages of step-up: a user authenticates again at the provider for a session that goes on, a program's or this browser's.
 *
 * - An attacker's link leads here, so a link alone gives nothing to the program that began: what is confirmed goes to the
 *   loopback address of this browser's machine, or the user types a code, with the limits of device codes.
 * - An attacker's page makes this browser go on, so a form needs our own Origin and a token of this browser's cookie, and no
 *   sign-in begins without a ticket of the page that asks.
 * - An attacker lets another browser finish, so the login transaction belongs to the browser that began it.
 */
import express, { Router, type Request, type RequestHandler, type Response } from 'express';
import type { StepUpProof, StepUps } from '../../services/step-up/step-up.ts';
import { STEP_UP } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import { accountOf } from '../../core/identity/identity.ts';
import { auditFailures, record } from '../../http/audit-events.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { passed, problemFor } from '../../http/problem.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';
import { authTimeIn } from '../../idp/auth-time.ts';
import { clockSkewOf } from '../../idp/provider-clock.ts';
import type { ProviderSignIn } from '../../idp/idp.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import { formCookie, otherBrowser, type FormCookie } from '../browser/form-cookie.ts';
import { assertOwnOrigin, field, type Guards } from '../browser/guards.ts';
import type { WebDeps } from '../dependencies.ts';
import { createCodeLimit, type CodeLimit } from '../device/device-code-limit.ts';
import { assertNearby } from '../device/nearby.ts';
import { sendTooMany } from '../page/error-page.ts';
import type { Html } from '../page/html.ts';
import { parameter, queryOf, seeOther, sendPage } from '../page/response.ts';
import {
  beginLogin,
  consumeLogin,
  type LoginPurpose,
  type LoginTransaction,
  type PurposeFor,
} from '../sign-in/login-transaction.ts';
import { redeemCallback } from '../sign-in/redeem.ts';
import { reportMisconfiguration, reportRejection } from '../sign-in/rejection.ts';
import { auditTooMany } from '../sign-in/sign-in.ts';
import { limitSignIns } from '../sign-in/sign-in-limit.ts';
import { codePage, deniedPage, donePage } from './step-up-page.ts';
import { confirmOf, nameOf, sessionOf, type Subject } from './subject.ts';
import { defined } from '../../core/defined.ts';

interface Service {
  readonly deps: WebDeps;
  readonly stepUps: StepUps;
  readonly cookie: FormCookie;
  readonly browsers: BrowserSessions;
  readonly limit: CodeLimit;
}

const TITLE = 'Is it you?';

function send(res: Response, status: number, title: string, body: Html): void {
  sendPage(res, status, { title, narrow: true, body });
}

/** A step, as its audit event has it. */
interface Step {
  readonly path: string;
  /** Absent in the step that finds it. */
  readonly subject?: Subject;
}

/** Runs one step. An error is audited and thrown on, to the error page. */
async function run<T>({ deps }: Service, req: Request, step: Step, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    await auditRejected(deps, contextOf(req), step, thrown);
    throw thrown;
  }
}

async function auditRejected(deps: WebDeps, context: RequestContext, { path, subject }: Step, thrown: unknown) {
  const { error, status } = appErrorOf(thrown);
  const { session, provider } = subject === undefined ? {} : sessionOf(subject);
  // The user who came back from the provider, where that is known; the session is the one that was to be proven.
  const who =
    context.user ??
    (session === undefined ? undefined : await deps.store.sessions.read(session).catch(() => undefined));
  // Anyone who makes up codes and links has begun none, and must not raise the alert at will.
  if (subject !== undefined) deps.metrics.stepUp?.('refused');
  record(deps, context, {
    event: 'step-up-refused',
    path,
    code: status,
    reason: error.reason,
    ...defined({ provider }),
    details: { ...clockSkewOf(error), ...authTimeIn(error) },
    ...(who === undefined || session === undefined
      ? {}
      : { about: { identity: who.identity, account: who.account, session } }),
  });
}

const codesAreOn = ({ deps }: Service): boolean => deps.config.sessions.deviceCode !== 'off';

function showCodePage(service: Service): RequestHandler {
  const { cookie } = service;
  return (req, res) => {
    if (!codesAreOn(service)) throw codesOff();
    // Ignores the query: this page exists so that no code comes from a link.
    send(res, 200, 'Confirm with a code', codePage({ csrf: cookie.csrfOf(cookie.begin(req, res)) }));
  };
}

const codesOff = (): AppError =>
  new AppError('not_found', 'Codes are switched off here. Run “portcullis step-up” on a machine with a browser.');

function enterCode(service: Service): RequestHandler {
  const { deps, cookie, limit, stepUps } = service;
  return async (req, res) => {
    const context = contextOf(req);
    const value = cookie.assertOwnForm(req);
    if (!codesAreOn(service)) throw codesOff();
    const wait = limit.take(context);
    if (wait > 0) {
      auditTooMany(deps, context, '/step-up');
      return sendTooMany(res, context, { of: 'sign-ins', retrySeconds: wait, contact: deps.config.contact });
    }
    const userCode = field(req, 'user_code');
    const path = '/step-up';
    try {
      const pending = await run(service, req, { path }, async () =>
        passed(STEP_UP, await stepUps.findByCode(userCode)),
      );
      const subject = { pending };
      await run(service, req, { path, subject }, async () => assertNearby(deps.config, context, pending.address));
      limit.refund(context);
      send(res, 200, TITLE, confirmOf(service, context, { subject, value, userCode }));
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'sign_in_expired')) throw error;
      send(res, 400, 'Confirm with a code', codePage({ csrf: cookie.csrfOf(value), error: error.message }));
    }
  };
}

/** The page to which a program's link leads. It shows the user's name, so it needs the id, which only that program has. */
function showLink(service: Service): RequestHandler<{ id: string }> {
  const { cookie, stepUps } = service;
  return async (req, res) => {
    const pending = passed(STEP_UP, await stepUps.find(req.params.id));
    const value = cookie.begin(req, res);
    send(res, 200, TITLE, confirmOf(service, contextOf(req), { subject: { pending }, value }));
  };
}

function showOwn(service: Service, guards: Guards): RequestHandler {
  const { cookie } = service;
  return guards.page('step-up/me', (req, res, own) => {
    assertCanProve(service, own);
    const value = cookie.begin(req, res);
    send(res, 200, TITLE, confirmOf(service, contextOf(req), { subject: { own }, value }));
  });
}

function assertCanProve({ stepUps }: Service, { record: { provider, delegation } }: SignedIn): void {
  const never = stepUps.whyNever({ provider, isDelegated: delegation !== undefined });
  if (never !== undefined) throw problemFor(STEP_UP, never);
}

/** @returns the value of this browser's cookie, to which the page that asks has given the ticket */
function assertTicket(service: Service, req: Request, subject: Subject): string {
  const { deps, cookie } = service;
  const value = cookie.assertOwnLink(req, nameOf(subject), parameter(req.query['ticket']));
  if ('own' in subject) assertCanProve(service, subject.own);
  else if (subject.pending.by === 'code') assertNearby(deps.config, contextOf(req), subject.pending.address);
  return value;
}

async function redirectToProvider(service: Service, req: Request, res: Response, subject: Subject): Promise<void> {
  const { deps, cookie } = service;
  const value = assertTicket(service, req, subject);
  const what = 'own' in subject ? { session: subject.own.session } : { challenge: subject.pending.id };
  const { provider } = sessionOf(subject);
  const purpose: LoginPurpose = { for: 'step-up', browser: cookie.browserOf(value), what };
  const url = await beginLogin(deps, contextOf(req), { provider, purpose, fresh: true });
  cookie.keep(res, value);
  seeOther(res, url.href);
}

function start(service: Service): RequestHandler<{ id: string }> {
  return async (req, res) => {
    const path = '/step-up/start';
    const subject = await run(service, req, { path }, async () => ({
      pending: passed(STEP_UP, await service.stepUps.find(req.params.id, { typed: true })),
    }));
    try {
      await run(service, req, { path, subject }, () => redirectToProvider(service, req, res, subject));
    } catch (thrown) {
      if (!(await isReported(service, res, contextOf(req), { thrown, subject }, reportMisconfiguration))) throw thrown;
    }
  };
}

function startOwn(service: Service, guards: Guards): RequestHandler {
  return guards.page('step-up/me', async (req, res, own) => {
    const subject = { own };
    await run(service, req, { path: '/step-up/me/start', subject }, () =>
      redirectToProvider(service, req, res, subject),
    );
  });
}

function deny(service: Service): RequestHandler {
  const { deps, cookie, stepUps } = service;
  return async (req, res) => {
    cookie.assertOwnForm(req);
    const pending = passed(STEP_UP, await stepUps.find(field(req, 'id'), { typed: true }));
    passed(STEP_UP, await stepUps.refuse(pending, 'It was denied in the browser.'));
    const context = contextOf(req);
    const denied = new AppError('sign_in_refused', 'denied', { reason: 'step_up_denied' });
    await auditRejected(deps, context, { path: '/step-up/deny', subject: { pending } }, denied);
    // No redirect to the program: Chromium applies `form-action` to what follows a POST. The program polls, or its user ends it.
    send(res, 200, 'Denied', deniedPage(deps.config.contact));
  };
}

/** @throws AppError `sign_in_expired` where it is over, or where another user has signed in at this browser meanwhile */
async function subjectOf(
  { stepUps, browsers }: Service,
  req: Request,
  { what }: PurposeFor<'step-up'>,
): Promise<Subject> {
  // It was begun with a ticket, so its code was typed, where it has one.
  if ('challenge' in what) return { pending: passed(STEP_UP, await stepUps.find(what.challenge, { typed: true })) };
  const own = await browsers.current(req);
  if (own?.session !== what.session) throw otherBrowser();
  return { own };
}

/** A step-up whose login transaction is consumed. */
interface ReturnedStepUp {
  readonly login: LoginTransaction;
  readonly subject: Subject;
}

/** @param value of this browser's cookie */
async function parseReturn(service: Service, req: Request, value: string | undefined): Promise<ReturnedStepUp> {
  const { deps, cookie } = service;
  const isOwn = (purpose: LoginPurpose): purpose is PurposeFor<'step-up'> =>
    purpose.for === 'step-up' && value !== undefined && purpose.browser === cookie.browserOf(value);
  const login = await consumeLogin(deps, parameter(req.query['state']), isOwn);
  return { login, subject: await subjectOf(service, req, login.purpose) };
}

/** @returns what the provider proves, or its address where it has to be asked once more */
async function judge(
  { deps }: Service,
  req: Request,
  { login, subject }: ReturnedStepUp,
): Promise<{ readonly proof: StepUpProof } | { readonly again: URL }> {
  const context = contextOf(req);
  if ('pending' in subject && subject.pending.by === 'code') {
    assertNearby(deps.config, context, subject.pending.address);
  }
  const redeemed = await redeemCallback(deps, context, { login, query: queryOf(req.originalUrl) });
  return 'again' in redeemed ? redeemed : { proof: proofOf(context, login, redeemed.user) };
}

/** @returns where the browser goes: back to the program, or to a page that says that it is done */
async function persist(
  { stepUps }: Service,
  context: RequestContext,
  subject: Subject,
  proof: StepUpProof,
): Promise<string> {
  const proven = await ('pending' in subject
    ? stepUps.finish(subject.pending, proof, context)
    : stepUps.proveOwn(subject.own, proof, context));
  return passed(STEP_UP, proven) ?? '/step-up/done';
}

function finish(service: Service): RequestHandler {
  const { cookie } = service;
  return async (req, res) => {
    const context = contextOf(req);
    const path = '/step-up/finish';
    const value = cookie.read(req);
    const returned = await run(service, req, { path }, () => parseReturn(service, req, value));
    const { subject } = returned;
    try {
      await run(service, req, { path, subject }, async () => {
        const judged = await judge(service, req, returned);
        if ('again' in judged) {
          if (value !== undefined) cookie.keep(res, value);
          return seeOther(res, judged.again.href);
        }
        seeOther(res, await persist(service, context, subject, judged.proof));
      });
    } catch (thrown) {
      if (!(await isReported(service, res, context, { thrown, subject }))) throw thrown;
    }
  };
}

function proofOf(context: RequestContext, login: LoginTransaction, user: ProviderSignIn): StepUpProof {
  const account = accountOf(login.provider, user.subject);
  context.user = { identity: user.identity, account };
  const { authTime } = user;
  const { groups } = user.identity;
  return { account, groups, startedAt: login.startedAt, ...defined({ authTime }) };
}

/** Tells the program that waits why its user was rejected. @returns whether that has sent the response, too */
async function isReported(
  { deps, stepUps }: Service,
  res: Response,
  context: RequestContext,
  { thrown, subject }: { readonly thrown: unknown; readonly subject: Subject },
  send = reportRejection,
): Promise<boolean> {
  if ('own' in subject) return false;
  const report = async (description: string): Promise<void> => {
    const program = passed(STEP_UP, await stepUps.refuse(subject.pending, description));
    if (program !== undefined) seeOther(res, program);
  };
  return send(deps, res, context, { thrown, report });
}

/**
 * Routes: `/step-up`, `/step-up/deny`, `/step-up/me…`, `/step-up/finish`, `/step-up/done`, and `/step-up/:id…` for programs.
 */
export function stepUpPages(
  deps: WebDeps,
  {
    browsers,
    guards,
    signIns,
  }: { readonly browsers: BrowserSessions; readonly guards: Guards; readonly signIns: RateLimiter },
): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const { stepUps } = deps;
  if (stepUps === undefined) return router;
  const { publicUrl, limits } = deps.config;
  const cookie = formCookie(publicUrl, 'step-up');
  const service: Service = {
    deps,
    stepUps,
    cookie,
    browsers,
    limit: createCodeLimit(limits.signInsPerMinute, deps.clock),
  };
  const form = express.urlencoded({ extended: false, limit: '4kb', parameterLimit: 8 });
  const ownOrigin = auditFailures(deps, 'step-up-refused', (req, _res, next) => {
    assertOwnOrigin(req, publicUrl);
    next();
  });
  router.get('/step-up', showCodePage(service));
  router.post('/step-up', ownOrigin, form, enterCode(service));
  router.post('/step-up/deny', ownOrigin, form, deny(service));
  router.get('/step-up/me', showOwn(service, guards));
  router.get('/step-up/me/start', limitSignIns(deps, signIns, '/step-up/start'), startOwn(service, guards));
  router.get('/step-up/finish', finish(service));
  router.get('/step-up/done', (_req, res) => send(res, 200, 'Confirmed', donePage()));
  router.get('/step-up/:id', showLink(service));
  router.get('/step-up/:id/start', limitSignIns(deps, signIns, '/step-up/start'), start(service));
  return router;
}
