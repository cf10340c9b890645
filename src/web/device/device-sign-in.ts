/**
 * The sign-in of a device by its code (RFC 8628): code, confirmation, a fresh sign-in at the provider, and back.
 *
 * - An attacker guesses codes, so tries are limited (`device-code-limit.ts`).
 * - An attacker's page makes this browser allow the attacker's device. So a form needs our own Origin and a token
 *   of this browser's cookie, and no sign-in begins without a ticket of the confirmation page.
 * - An attacker talks a user into it. Against that there are the text of the page, the ten minutes of a code, and
 *   `sameNetwork`.
 */
import { randomBytes } from 'node:crypto';
import express, { Router, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { siteOf } from '../../core/http/address.ts';
import { AppError } from '../../core/errors.ts';
import { parameter, queryOf, seeOther, sendPage } from '../page/response.ts';
import type { BrowserSessions } from '../browser/browser-session.ts';
import { formCookie, otherBrowser, type FormCookie } from '../browser/form-cookie.ts';
import { providerChoices, rememberProvider } from '../browser/provider-choices.ts';
import type { WebDeps } from '../dependencies.ts';
import type { DeviceRequest, DeviceRequests } from '../../contracts/authorization.ts';
import { createCodeLimit, type CodeLimit } from './device-code-limit.ts';
import { allowedPage, codePage, confirmPage, refusedPage } from './device-page.ts';
import { assertNearby, locationOf } from './nearby.ts';
import { sendTooMany } from '../page/error-page.ts';
import { assertOwnOrigin, field } from '../browser/guards.ts';
import {
  beginLogin,
  LOGIN_SECONDS,
  consumeLogin,
  type LoginPurpose,
  type PurposeFor,
} from '../sign-in/login-transaction.ts';
import type { Html } from '../page/html.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import { record, auditFailures } from '../../http/audit-events.ts';
import { reportMisconfiguration, reportRejection } from '../sign-in/rejection.ts';
import { auditTooMany, finishStep, handOver, openSession, signInStep, type ReturnedLogin } from '../sign-in/sign-in.ts';
import { limitSignIns } from '../sign-in/sign-in-limit.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';

interface DeviceService {
  readonly deps: WebDeps;
  readonly devices: DeviceRequests;
  readonly cookie: FormCookie;
  readonly browsers: BrowserSessions;
  readonly limit: CodeLimit;
}

const confirmationSchema = z.object({
  userCode: z.string(),
  /** Hash of the value in the cookie of the browser in which the code was typed. */
  browser: z.string(),
});

function send(res: Response, status: number, title: string, body: Html): void {
  sendPage(res, status, { title, narrow: true, body });
}

/**
 * Returns the device of a code, for a browser that may decide about it. @throws AppError `sign_in_expired` or
 * `sign_in_refused`
 */
async function requestFor(
  { deps, devices }: DeviceService,
  context: RequestContext,
  userCode: string,
): Promise<DeviceRequest> {
  const request = await devices.find(userCode);
  assertNearby(deps.config, context, request.address);
  return request;
}

async function codeOf({ deps, cookie }: DeviceService, req: Request, ticket: string | undefined): Promise<string> {
  const value = cookie.read(req);
  const found = confirmationSchema.safeParse(await deps.store.artefacts.find('DeviceConfirmation', ticket ?? ''));
  if (!found.success || value === undefined || found.data.browser !== cookie.browserOf(value)) throw otherBrowser();
  return found.data.userCode;
}

function showCodePage({ cookie }: DeviceService): RequestHandler {
  return (req, res) => {
    const value = cookie.begin(req, res);
    // Ignores the query: this page exists so that no code comes from a link.
    send(res, 200, 'Sign in a device', codePage({ csrf: cookie.csrfOf(value) }));
  };
}

function enter(service: DeviceService): RequestHandler {
  const { deps, cookie, limit } = service;
  return async (req, res) => {
    const context = contextOf(req);
    const value = cookie.assertOwnForm(req);
    const wait = limit.take(context);
    if (wait > 0) {
      auditTooMany(deps, context, '/device');
      return sendTooMany(res, context, { of: 'sign-ins', retrySeconds: wait, contact: deps.config.contact });
    }
    const userCode = field(req, 'user_code');
    try {
      const request = await signInStep(deps, context, { path: '/device' }, () =>
        requestFor(service, context, userCode),
      );
      limit.refund(context);
      await sendConfirmPage(service, res, { req, value, userCode, request });
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'sign_in_expired')) throw error;
      send(res, 400, 'Sign in a device', codePage({ csrf: cookie.csrfOf(value), error: error.message }));
    }
  };
}

async function sendConfirmPage(
  { deps, cookie }: DeviceService,
  res: Response,
  given: {
    readonly req: Request;
    readonly value: string;
    readonly userCode: string;
    readonly request: DeviceRequest;
  },
): Promise<void> {
  const { req, value, userCode, request } = given;
  const ticket = randomBytes(16).toString('base64url');
  const confirmation = { userCode, browser: cookie.browserOf(value) };
  const context = contextOf(req);
  const kept = { ttlSeconds: LOGIN_SECONDS, from: siteOf(context.address) };
  await deps.store.artefacts.save('DeviceConfirmation', ticket, confirmation, kept);
  const location = locationOf(deps.config, context, request.address);
  const providers = providerChoices(deps, req);
  const body = confirmPage({
    csrf: cookie.csrfOf(value),
    ticket,
    userCode,
    request,
    address: context.address,
    location,
    providers,
  });
  send(res, 200, 'Is this your device?', body);
}

function start(service: DeviceService): RequestHandler {
  const { deps, devices, cookie } = service;
  return async (req, res) => {
    const context = contextOf(req);
    const provider = parameter(req.query['provider']);
    let userCode = '';
    try {
      await signInStep(deps, context, { path: '/device/start', provider }, async () => {
        const ticket = parameter(req.query['ticket']) ?? '';
        const value = cookie.read(req) ?? '';
        userCode = await codeOf(service, req, ticket);
        await requestFor(service, context, userCode);
        const purpose: LoginPurpose = { for: 'device', browser: cookie.browserOf(value), ticket };
        // Always fresh: otherwise one click would be enough where the user is signed in at the provider already.
        const url = await beginLogin(deps, context, { provider, purpose, fresh: true });
        cookie.keep(res, value);
        seeOther(res, url.href);
      });
    } catch (thrown) {
      // The device learns it at its next poll, and the user from the page here.
      const report = (description: string): Promise<void> => devices.refuse(userCode, description);
      await reportMisconfiguration(deps, res, context, { thrown, report });
      throw thrown;
    }
  };
}

/** @param value of this browser's cookie @returns the sign-in, and the code of the device that it is for */
async function parseReturn(
  service: DeviceService,
  req: Request,
  value: string | undefined,
): Promise<{ readonly returned: ReturnedLogin; readonly userCode: string }> {
  const { deps, cookie, browsers } = service;
  const isOwn = (purpose: LoginPurpose): purpose is PurposeFor<'device'> =>
    purpose.for === 'device' && value !== undefined && purpose.browser === cookie.browserOf(value);
  const login = await consumeLogin(deps, parameter(req.query['state']), isOwn);
  const userCode = await codeOf(service, req, login.purpose.ticket);
  const device = await requestFor(service, contextOf(req), userCode);
  const { clientId: client, deviceName } = device;
  const browser = await browsers.current(req);
  return { userCode, returned: { login, query: queryOf(req.originalUrl), client, browser, device, deviceName } };
}

function finish(service: DeviceService): RequestHandler {
  const { deps, devices, cookie } = service;
  return async (req, res) => {
    const context = contextOf(req);
    const value = cookie.read(req);
    const step = await finishStep(deps, req, '/device/finish');
    const { returned, userCode } = await signInStep(deps, context, step, () => parseReturn(service, req, value));
    try {
      await signInStep(deps, context, step, async () => {
        const outcome = await openSession(deps, context, returned);
        if ('again' in outcome) {
          if (value !== undefined) cookie.keep(res, value);
          return seeOther(res, outcome.again.href);
        }
        const { session } = outcome;
        await handOver(deps, context, { session, returned }, () => devices.allow(userCode, session));
        rememberProvider(deps, res, session.provider);
        seeOther(res, '/device/done');
      });
    } catch (thrown) {
      // The device learns it at its next poll, and the user from the page here.
      const report = (description: string): Promise<void> => devices.refuse(userCode, description);
      if (!(await reportRejection(deps, res, context, { thrown, report }))) throw thrown;
    }
  };
}

function refuse(service: DeviceService): RequestHandler {
  const { deps, devices, cookie } = service;
  return async (req, res) => {
    const context = contextOf(req);
    cookie.assertOwnForm(req);
    const userCode = await codeOf(service, req, field(req, 'ticket'));
    const { address, clientId } = await devices.find(userCode);
    await devices.refuse(userCode);
    const details = { client: clientId, device: address };
    record(deps, context, { event: 'sign-in-refused', path: req.path, code: 200, reason: 'device_refused', details });
    send(res, 200, 'Denied', refusedPage(deps.config.contact));
  };
}

/**
 * Routes: `/device`, `/device/start`, `/device/finish`, `/device/refuse`, `/device/done`; none where device codes
 * are off.
 */
export function deviceSignIn(deps: WebDeps, browsers: BrowserSessions, signIns: RateLimiter): Router {
  const router = Router({ caseSensitive: true, strict: true });
  if (deps.devices === undefined || deps.config.sessions.deviceCode === 'off') return router;
  const { publicUrl, limits } = deps.config;
  const cookie = formCookie(publicUrl, 'device');
  const limit = createCodeLimit(limits.signInsPerMinute, deps.clock);
  const service: DeviceService = { deps, devices: deps.devices, cookie, browsers, limit };
  const form = express.urlencoded({ extended: false, limit: '4kb', parameterLimit: 8 });
  const ownOrigin = auditFailures(deps, 'sign-in-refused', (req, _res, next) => {
    assertOwnOrigin(req, publicUrl);
    next();
  });
  router.get('/device', showCodePage(service));
  router.post('/device', ownOrigin, form, enter(service));
  router.get('/device/start', limitSignIns(deps, signIns), start(service));
  router.get('/device/finish', finish(service));
  router.post('/device/refuse', ownOrigin, form, refuse(service));
  router.get('/device/done', (_req, res) => send(res, 200, 'Signed in', allowedPage()));
  return router;
}
