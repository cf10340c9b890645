/**
 * oidc-provider's storage, on our store.
 *
 * A code is spent in one step of the store, and whoever comes second, in a race or an hour later, holds a replayed one, so the whole session is ended
 * (RFC 6749 §4.1.2, §10.5). The library reads `consumed` and then writes it, so of twenty parallel redemptions all twenty won, and ends the
 * session of one that it finds spent as if its owner had signed out. So it is never shown one.
 */
import { errors, type Adapter, type AdapterFactory } from 'oidc-provider';
import type { ArtefactKind, ArtefactStore } from '../store/store.ts';
import { DEVICE_CODE_KEPT_SECONDS } from './device-grant.ts';

/** For kinds that the library saves without an end, none of which we use; a bound all the same. */
const NEVER_SECONDS = 24 * 60 * 60;

export interface ArtefactAdapterOptions {
  readonly artefacts: ArtefactStore;
  /** Ends the session whose grant is destroyed or whose code was replayed, and with it its artefacts. Resolves when that is written. */
  readonly endSession: (session: string) => Promise<void>;
  /** The site of whoever has something saved now, where that is known. */
  readonly from?: () => string | undefined;
  /** False: `claim-minter.ts` spends them, once it has decided. */
  readonly consumesCodes?: boolean;
}

const isCode = (kind: ArtefactKind): boolean => kind === 'AuthorizationCode' || kind === 'DeviceCode';

export function artefactAdapter(options: ArtefactAdapterOptions): AdapterFactory {
  const { artefacts, endSession, from, consumesCodes = true } = options;
  return (name): Adapter => {
    const kind = name as ArtefactKind;
    return {
      async upsert(id, payload, expiresIn) {
        // The grant's id is the session's id; everything that descends from a grant names it.
        const session = kind === 'Grant' ? id : payload.grantId;
        const site = from?.();
        await artefacts.save(kind, id, payload, {
          ttlSeconds: (expiresIn ?? NEVER_SECONDS) + (kind === 'DeviceCode' ? DEVICE_CODE_KEPT_SECONDS : 0),
          ...(session === undefined ? {} : { session }),
          ...(payload.uid === undefined ? {} : { uid: payload.uid }),
          ...(payload.userCode === undefined ? {} : { userCode: payload.userCode }),
          ...(site === undefined ? {} : { from: site }),
        });
      },
      async find(id) {
        const found = await artefacts.find(kind, id);
        if (found === undefined || !isCode(kind)) return found;
        const { consumed: _spent, ...code } = found;
        return code;
      },
      findByUid: async (uid) => await artefacts.findByUid(kind, uid),
      findByUserCode: async (code) => await artefacts.findByUserCode(kind, code),
      async consume(id) {
        // A refresh token's turn is spent once the refresh has been decided, see `refresh-rotation.ts`.
        if (kind === 'RefreshToken' || (isCode(kind) && !consumesCodes)) return;
        if (await artefacts.consume(kind, id)) return;
        const lost = await artefacts.find(kind, id);
        if (typeof lost?.['grantId'] === 'string') await endSession(lost['grantId']);
        throw new errors.InvalidGrant('already consumed');
      },
      async destroy(id) {
        // It goes with its session. Gone before, a sign-out that could not be written would find nothing to end when it is asked for again.
        if (kind === 'RefreshToken') return;
        if (kind === 'Grant') await endSession(id);
        await artefacts.destroy(kind, id);
      },
      // The library destroys the grant beside it, which ends the session.
      revokeByGrantId: async () => {},
    };
  };
}
