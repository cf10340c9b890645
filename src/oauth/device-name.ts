/**
 * `device_name`: the parameter of an authorization request, a device's included, with the name that the program gives
 * its device.
 *
 * A name that may not be one is an invalid request, like any other parameter that is malformed: it is audited, and
 * nothing is changed on its way to an admin's page. No user is kept out by it, because our command line checks and
 * cleans by the same rule (`core/identity/device-name.ts`) before it sends one.
 */
import { errors } from 'oidc-provider';
import { deviceName, DEVICE_NAME_RULE } from '../core/identity/device-name.ts';
import { defined } from '../core/defined.ts';

export const DEVICE_NAME = 'device_name';

/** @throws InvalidRequest that repeats nothing of the name */
export function assertDeviceName(_ctx: unknown, value: string | undefined): void {
  if (value === undefined || deviceName(value) !== undefined) return;
  throw new errors.InvalidRequest(`${DEVICE_NAME} may have ${DEVICE_NAME_RULE}`);
}

/**
 * Returns the name among the parameters of a stored request, for the result of `find` or `pending`. It is checked
 * again: another version may have stored it by another rule.
 */
export function deviceNameIn(params: Readonly<Record<string, unknown>> | undefined): { readonly deviceName?: string } {
  const value = params?.[DEVICE_NAME];
  const name = typeof value === 'string' ? deviceName(value) : undefined;
  return defined({ deviceName: name });
}
