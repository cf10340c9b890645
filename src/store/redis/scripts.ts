/** Every script that Redis is sent: a function in `lua/`, where its parameters and its reply are described. */
import { script } from './lua.ts';

// The log.
export const position = script('position');
export const join = script('join');
export const livePage = script('live_page');
export const logPage = script('log_page');
export const renew = script('renew');
export const leave = script('leave');
export const announceDrill = script('announce_drill');
export const append = script('append');
export const hasWritten = script('has_written');
export const sweep = script('sweep');

// Epochs.
export const newEpoch = script('new_epoch', { head: false, from: 1 });
export const settle = script('settle');

// Locks on accounts, and fresh sign-ins.
export const findLock = script('find_lock');
export const readLocks = script('read_locks');
export const removeLock = script('remove_lock');
export const restoreLocks = script('restore_locks');
export const findFreshSignIn = script('find_fresh_sign_in');
export const liftFreshSignIn = script('lift_fresh_sign_in');

// Sessions.
export const openSession = script('open_session', { stores: true });
export const mintSession = script('mint_session');
export const readSession = script('read_session');
export const updateSession = script('update_session');
export const listSessions = script('list_sessions');
export const tallySessions = script('tally_sessions');
export const closeProviderSession = script('close_provider_session');
export const countSessions = script('count_sessions');
export const claimRecheck = script('claim_recheck');
export const releaseRecheck = script('release_recheck');
export const addRecent = script('add_recent', { stores: true });
export const readRecent = script('read_recent');

// Artefacts.
export const saveArtefact = script('save_artefact', { stores: true });
export const findArtefact = script('find_artefact');
export const findArtefactByName = script('find_artefact_by_name');
export const consumeArtefact = script('consume_artefact');
export const takeArtefact = script('take_artefact');
export const destroyArtefact = script('destroy_artefact');
export const destroyArtefactsOf = script('destroy_artefacts_of');

// Access requests.
export const readRequest = script('read_request');
export const createRequest = script('create_request', { stores: true });
export const changeRequest = script('change_request');
export const beginGrant = script('begin_grant', { stores: true });
export const noteGrant = script('note_grant');
export const endGrant = script('end_grant');
export const listRequests = script('list_requests');
export const activeGrants = script('active_grants');
export const claimEnding = script('claim_ending');

// Re-encryption.
export const claimReencryption = script('claim_reencryption', { stores: true });
export const endReencryption = script('end_reencryption', { stores: true });
export const findSealed = script('find_sealed');
export const findSealedRequests = script('find_sealed_requests');
export const replaceValues = script('replace_values', { stores: true });
export const replaceStream = script('replace_stream', { stores: true });

// The live audit log, and anchors of the audit log.
export const subscribeLive = script('subscribe_live', { head: false, stores: true });
export const unsubscribeLive = script('unsubscribe_live', { head: false });
export const subscriptionsLive = script('subscriptions_live', { head: false });
export const acceptLive = script('accept_live', { head: false, stores: true });
export const isAcceptedLive = script('is_accepted_live', { head: false });
export const publishLive = script('publish_live', { head: false, stores: true });
export const readLive = script('read_live', { head: false });
export const putAnchor = script('put_anchor', { head: false, stores: true });
export const listAnchors = script('list_anchors', { head: false });

// `portcullis store check`.
export const probeServer = script('probe_server', { head: false, from: 1 });
export const probeCommands = script('probe_commands', { head: false, from: 1, stores: true });
export const probeWrite = script('probe_write', { head: false, from: 1 });
