/** Sign-in by a code that the user types into a browser on another machine (RFC 8628), for machines without one. */
import { setTimeout as pause } from 'node:timers/promises';
import type { AppError } from '../../core/errors.ts';
import type { CacheEntry } from './cache.ts';
import { createBinding } from './binding.ts';
import type { DeviceNameParameter } from './device-name.ts';
import type { Discovery } from './discovery.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { plainText } from '../terminal/plain-text.ts';
import { withTokenResponse } from './renewal.ts';
import { openableUrl } from '../http/server-url.ts';
import type { OpenSession } from './secrets.ts';
import { requestDeviceCode, redeemDeviceCode, type DeviceCode, type TokenResponse } from './token-endpoint.ts';

/** RFC 8628 §3.5: `slow_down` adds this permanently. */
const SLOW_DOWN_SECONDS = 5;

/**
 * Shows address and code on stderr, and waits until the user has decided.
 * @throws AppError `sign_in_refused` when the sign-in was rejected there, `sign_in_expired` when no user typed the
 *   code, `forbidden` where the server issues no codes or names another host
 */
export async function signInByDevice(
  context: CliContext,
  entry: CacheEntry,
  discovery: Discovery,
  named: DeviceNameParameter,
): Promise<OpenSession> {
  const server = entry.server.url;
  const { endpoints, deviceAuthorizationEndpoint: url } = discovery;
  if (url === undefined) {
    const next = `on a machine with a browser: portcullis login --server ${server}`;
    throw cliError('forbidden', `${server} does not offer sign-in by a code.`, next, {
      reason: 'device_code_off',
    });
  }
  const client = { server, endpoints, binding: await createBinding(context.nowMs()) };
  const code = await requestDeviceCode(client, url, named);
  showCode(context, code, discovery);
  const stopSpinner = context.showProgress('waiting until you type the code');
  const response = await pollForToken(context, () => redeemDeviceCode(client, code.deviceCode), {
    code,
    server,
  }).finally(stopSpinner);
  const { user, refreshToken } = response;
  if (user === undefined || refreshToken === undefined) {
    throw cliError('upstream_unavailable', `${server} sent no user for this sign-in.`, 'tell your platform team');
  }
  return withTokenResponse(
    { ...client, user, refreshToken, tokens: {}, device: true },
    response,
    undefined,
    context.nowMs(),
  );
}

function showCode(context: CliContext, code: DeviceCode, discovery: Discovery): void {
  const page = openableUrl(code.verificationUri);
  // An attacker who controls the response could name a page that steals credentials, and the user would open it in
  // a browser that holds sessions, so only the server's own page is accepted.
  if (page?.origin !== discovery.pins.web) {
    const next = 'do not type the code anywhere, and tell your platform team';
    throw cliError('forbidden', 'The server wants the code typed into a page on another host.', next, {
      reason: 'discovery_refused',
    });
  }
  const minutes = Math.max(1, Math.round(code.expiresIn / 60));
  context.notify(
    `to sign in, open this page in a browser on any machine:\n  ${page.href}\nand type this code, within ${minutes} minutes:\n  ${plainText(code.userCode, 40)}`,
  );
}

async function pollForToken(
  context: CliContext,
  sendRequest: () => Promise<TokenResponse | 'authorization_pending' | 'slow_down'>,
  { code, server }: { readonly code: DeviceCode; readonly server: string },
): Promise<TokenResponse> {
  const end = context.nowMs() + code.expiresIn * 1000;
  let seconds = code.interval;
  while (context.nowMs() < end) {
    await pause(seconds * 1000);
    const response = await sendRequest();
    if (typeof response === 'object') return response;
    if (response === 'slow_down') seconds += SLOW_DOWN_SECONDS;
  }
  throw timedOut(server);
}

const timedOut = (server: string): AppError =>
  cliError('sign_in_expired', 'No user typed the code in time.', `portcullis login --device --server ${server}`);
