/** Where a device that shows a code is, as seen from the browser in which the code was typed. */
import { AppError } from '../../core/errors.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { WebConfig } from '../dependencies.ts';
import { describeLocation, sameNetwork } from './device-location.ts';

/**
 * Checks `sessions.deviceCode: sameNetwork`.
 * @param device its address
 * @throws AppError `sign_in_refused`
 */
export function assertNearby({ sessions }: Pick<WebConfig, 'sessions'>, context: RequestContext, device: string): void {
  if (sessions.deviceCode !== 'sameNetwork') return;
  // A load balancer in front of both would put the whole internet into one network, so its address proves nothing.
  if (context.shared !== true && sameNetwork(device, context.address)) return;
  const text =
    context.shared === true
      ? 'The load balancer in front of Portcullis does not forward the address of this browser. Tell your platform team.'
      : `The device is in another network (${device}) than this browser (${context.address}). ` +
        'Use a browser near the device.';
  throw new AppError('sign_in_refused', text, { reason: 'device_in_other_network' });
}

/** @returns a text that follows the device's address; undefined where nothing is known */
export function locationOf(
  { publicUrl }: Pick<WebConfig, 'publicUrl'>,
  context: RequestContext,
  device: string,
): string | undefined {
  const { hostname } = new URL(publicUrl);
  const local = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
  return describeLocation({ device, browser: context.shared === true ? undefined : context.address, local });
}
