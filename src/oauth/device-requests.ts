/**
 * Devices that wait for a user to type a code into a browser (RFC 8628): the interface to the pages that decide
 * about them. The library's own pages are never reached: they would take the code from a link, and remember the
 * last user.
 */
import type { Provider } from 'oidc-provider';
import { SELF_AUDIENCE } from '../core/core.ts';
import { AppError } from '../core/errors.ts';
import type { Store } from '../store/store.ts';
import { SCOPE, type Audiences } from './audiences.ts';
import { DEVICE_CODE_KEPT_SECONDS } from './device-grant.ts';
import { deviceNameIn } from './device-name.ts';
import type { DeviceRequest, DeviceRequests } from '../contracts/authorization.ts';
import type { PublicClients } from './public-clients.ts';

export interface DeviceRequestsDeps {
  readonly provider: Provider;
  readonly store: Pick<Store, 'artefacts' | 'sessions'>;
  readonly audiences: Audiences;
  readonly publicClients: PublicClients;
}

type DeviceCode = InstanceType<Provider['DeviceCode']>;

/** Returns the code in upper case and without separators, as the library keeps it. */
const normalized = (typed: string): string => typed.toUpperCase().replace(/[^A-Z0-9]/g, '');

/** One message for all of them: an attacker who guesses codes must not learn which ones exist. */
const codeRejected = (reason: 'device_code_unknown' | 'device_code_expired' | 'device_code_used'): AppError =>
  new AppError(
    'sign_in_expired',
    'This code is not known here, has been used, or has expired. Compare it with your terminal, or run the command there again.',
    { reason },
  );

const textOf = (info: Record<string, unknown> | undefined, key: string): string => {
  const value = info?.[key];
  return typeof value === 'string' ? value : '';
};

/** What the page about a device calls an audience that is no cluster. */
const nameOf = (audience: string): string => (audience === SELF_AUDIENCE ? 'your own sessions' : audience);

export function createDeviceRequests({
  provider,
  store,
  audiences,
  publicClients,
}: DeviceRequestsDeps): DeviceRequests {
  const { artefacts, sessions } = store;

  /** Returns the code while no user has decided about it. */
  async function pending(typed: string): Promise<DeviceCode> {
    const userCode = normalized(typed);
    const code =
      userCode === '' ? undefined : await provider.DeviceCode.findByUserCode(userCode, { ignoreExpiration: true });
    if (code === undefined) throw codeRejected('device_code_unknown');
    if (code.isExpired) throw codeRejected('device_code_expired');
    if (code.error !== undefined || code.accountId !== undefined) throw codeRejected('device_code_used');
    return code;
  }

  /**
   * Records the one decision about a code. The library reads and then writes, so two browsers could both allow it.
   * A value that was consumed once stays consumed in the store, however often it is saved again.
   */
  async function decide(code: DeviceCode): Promise<void> {
    const ttlSeconds = Math.max(1, code.remainingTTL) + DEVICE_CODE_KEPT_SECONDS;
    await artefacts.save('DeviceDecision', code.jti, {}, { ttlSeconds });
    if (!(await artefacts.consume('DeviceDecision', code.jti))) throw codeRejected('device_code_used');
  }

  const requestedAudiences = (code: DeviceCode): readonly string[] => {
    const resource = code.params?.['resource'];
    const named = (Array.isArray(resource) ? resource : [resource]).filter((one) => typeof one === 'string');
    const sole = publicClients.soleAudience(code.clientId);
    if (sole !== undefined) return [sole];
    return named.length === 0 ? audiences.all : named;
  };

  return {
    async find(typed): Promise<DeviceRequest> {
      const code = await pending(typed);
      const client = await provider.Client.find(code.clientId ?? '');
      const requested = requestedAudiences(code);
      const everything = audiences.all.every((audience) => requested.includes(audience));
      return {
        clientId: code.clientId ?? '',
        clientName: client?.clientName ?? code.clientId ?? '',
        address: textOf(code.deviceInfo, 'address'),
        userAgent: textOf(code.deviceInfo, 'userAgent'),
        ...deviceNameIn(code.params),
        ...(everything
          ? {}
          : { audiences: requested.map((audience) => audiences.clusterOf(audience)?.name ?? nameOf(audience)) }),
      };
    },

    async allow(typed, session) {
      const code = await pending(typed);
      const record = await sessions.read(session.id);
      if (record === undefined) {
        const message = 'This session was ended while you signed in. Run the command on the device again.';
        throw new AppError('sign_in_expired', message, { reason: 'session_unknown' });
      }
      await decide(code);
      const requested = requestedAudiences(code);
      const grant = new provider.Grant({ accountId: session.account, clientId: code.clientId ?? '' });
      // One grant a sign-in, under the session's own id: ending the session ends the code and every token that descends from it.
      grant.jti = session.id;
      for (const audience of requested) if (audiences.allows(audience, record)) grant.addResourceScope(audience, SCOPE);
      const thirdParty = publicClients.soleAudience(code.clientId) !== undefined;
      if (thirdParty) grant.addOIDCScope('openid');
      await grant.save();
      Object.assign(code, {
        accountId: session.account,
        grantId: session.id,
        scope: thirdParty ? `openid ${SCOPE}` : SCOPE,
        resource: requested.length === 1 ? requested[0] : [...requested],
      });
      await code.save();
    },

    async refuse(typed, description = 'The sign-in was refused in the browser.') {
      const code = await pending(typed);
      await decide(code);
      Object.assign(code, { error: 'access_denied', errorDescription: description });
      await code.save();
    },
  };
}
