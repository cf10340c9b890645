/**
 * oidc-provider's storage, on our store.
 *
 * Two mends. `consume` is atomic here: the library reads `consumed` and then writes it, so of twenty parallel redemptions of one code
 * all twenty won. And whoever loses that race holds a replayed code, so the whole session is ended (RFC 6749 §4.1.2, §10.5).
 */
import { errors, type Adapter, type AdapterFactory } from 'oidc-provider';
import type { ArtefactKind, ArtefactStore } from '../store/store.ts';
import { DEVICE_CODE_KEPT_SECONDS } from './device-grant.ts';

/** For kinds that the library saves without an end, none of which we use; a bound all the same. */
const NEVER_SECONDS = 24 * 60 * 60;

export interface ArtefactAdapterOptions {
  readonly artefacts: ArtefactStore;
  /** Ends the session whose grant is destroyed or whose code was replayed. Resolves when that is written. */
  readonly endSession: (session: string, why: 'sign-out' | 'code-replayed') => Promise<void>;
}

export function artefactAdapter(options: ArtefactAdapterOptions): AdapterFactory {
  const { artefacts, endSession } = options;
  return (name): Adapter => {
    const kind = name as ArtefactKind;
    return {
      async upsert(id, payload, expiresIn) {
        // The grant's id is the session's id; everything that descends from a grant names it.
        const session = kind === 'Grant' ? id : payload.grantId;
        await artefacts.save(kind, id, payload, {
          ttlSeconds: (expiresIn ?? NEVER_SECONDS) + (kind === 'DeviceCode' ? DEVICE_CODE_KEPT_SECONDS : 0),
          ...(session === undefined ? {} : { session }),
          ...(payload.uid === undefined ? {} : { uid: payload.uid }),
          ...(payload.userCode === undefined ? {} : { userCode: payload.userCode }),
        });
      },
      find: async (id) => await artefacts.find(kind, id),
      findByUid: async (uid) => await artefacts.findByUid(kind, uid),
      findByUserCode: async (code) => await artefacts.findByUserCode(kind, code),
      async consume(id) {
        // A refresh token's turn is spent once the refresh has been decided, see `refresh-rotation.ts`.
        if (kind === 'RefreshToken') return;
        if (await artefacts.consume(kind, id)) return;
        const lost = await artefacts.find(kind, id);
        if (typeof lost?.['grantId'] === 'string') await endSession(lost['grantId'], 'code-replayed');
        throw new errors.InvalidGrant('already consumed');
      },
      async destroy(id) {
        if (kind === 'Grant') await endSession(id, 'sign-out');
        await artefacts.destroy(kind, id);
      },
      async revokeByGrantId(grantId) {
        await artefacts.destroyOfSession(grantId);
      },
    };
  };
}
