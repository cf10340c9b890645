/**
 * The storage of oidc-provider, on our store.
 *
 * The store consumes a code in one step. A client that presents the same code later, in a race or after an hour,
 * replays it, so the whole session ends (RFC 6749 §4.1.2, §10.5). The library reads `consumed` and then writes it:
 * of twenty parallel redemptions all twenty would succeed. It also ends the session of a consumed code as if its
 * user had signed out. So `find` never shows it a consumed code.
 */
import { errors, type Adapter, type AdapterFactory } from 'oidc-provider';
import type { ArtefactKind, ArtefactStore } from '../store/store.ts';
import { DEVICE_CODE_KEPT_SECONDS } from './device-grant.ts';
import { defined } from '../core/defined.ts';

/** The TTL of kinds that the library saves without an expiry. We use none of them; the bound is a precaution. */
const NEVER_SECONDS = 24 * 60 * 60;

export interface ArtefactAdapterOptions {
  readonly artefacts: ArtefactStore;
  /**
   * Ends the session whose grant is destroyed or whose code was replayed, and with it its artefacts. Resolves when
   * that is written.
   */
  readonly endSession: (session: string) => Promise<void>;
  /** Returns the site of the client that has something saved now, where it is known. */
  readonly from?: () => string | undefined;
  /** False: `claim-minter.ts` consumes codes, once it has decided. */
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
          ...defined({ session, uid: payload.uid, userCode: payload.userCode, from: site }),
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
        // A rotation is consumed once the refresh has been decided, see `refresh-rotation.ts`.
        if (kind === 'RefreshToken' || (isCode(kind) && !consumesCodes)) return;
        if (await artefacts.consume(kind, id)) return;
        const lost = await artefacts.find(kind, id);
        if (typeof lost?.['grantId'] === 'string') await endSession(lost['grantId']);
        throw new errors.InvalidGrant('already consumed');
      },
      async destroy(id) {
        // It is deleted with its session. If it were deleted earlier, a sign-out that could not be written would
        // find nothing to end when the client asks for it again.
        if (kind === 'RefreshToken') return;
        if (kind === 'Grant') await endSession(id);
        await artefacts.destroy(kind, id);
      },
      // The library destroys the grant as well, which ends the session.
      revokeByGrantId: async () => {},
    };
  };
}
