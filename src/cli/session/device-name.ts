/**
 * The name of this machine in lists of sessions. No user knows why an odd host name should matter, so what the server
 * would reject is not sent.
 */
import { deviceName, deviceNameOfHost, DEVICE_NAME_RULE } from '../../core/identity/device-name.ts';
import type { CliContext } from '../context.ts';
import { cliError } from '../errors.ts';
import type { Server } from './cache.ts';
import { defined } from '../../core/defined.ts';

/** The parameter of an authorization request, a device's included; without a member where no name is sent. */
export interface DeviceNameParameter {
  readonly device_name?: string;
}

/** Returns what the user gave for this server, else the name of the host. */
export function deviceNameParameter({ environment }: CliContext, server: Server): DeviceNameParameter {
  const given = server.deviceName;
  const name = given === undefined ? deviceNameOfHost(environment.hostName) : deviceName(given);
  return defined({ device_name: name });
}

/**
 * Parses `--device-name`; empty: none is sent.
 * @throws AppError `bad_request` for what the server would reject
 */
export function parseDeviceName(text: string): string {
  const name = text === '' ? text : deviceName(text);
  if (name !== undefined) return name;
  throw cliError(
    'bad_request',
    `A device name may have ${DEVICE_NAME_RULE}.`,
    "give another one, or --device-name '' to send none",
  );
}
