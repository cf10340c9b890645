/** The next step after a rejection by the admin API, by the code of its problem document. */

import { ON_THE_SERVER } from '../../core/identity/fresh-sign-in.ts';

const NEXT: ReadonlyMap<string, string> = new Map([
  ['session_not_found', 'portcullis sessions lists the live ones'],
  [
    'username_not_found',
    'portcullis sessions lists the usernames; an account without a session is revoked by --account PROVIDER/SUBJECT',
  ],
  ['username_ambiguous', 'name the account: portcullis sessions lists them, then --account PROVIDER/SUBJECT'],
  ['account_not_seen', 'check the spelling; to lock it all the same, run the command again with --force'],
  ['provider_not_found', 'the name is the part of an account before the /: portcullis sessions'],
  ['workload_not_found', 'the names are those of the server’s configuration, under workload'],
  ['cluster_not_found', 'portcullis whoami lists your clusters'],
  ['fresh_sign_in_not_needed', 'the user can already sign in again: portcullis locks lists locked accounts'],
  ['fresh_sign_in_newer', 'check the account again: it was revoked meanwhile'],
  ['stream_not_found', 'portcullis streams --account PROVIDER/SUBJECT lists what is open'],
  ['lock_not_found', 'portcullis locks lists the locked accounts'],
  ['second_admin_needed', 'have another admin run the same command with that --approval'],
  ['same_admin', 'have another admin run the same command with the same --approval'],
  ['approval_not_good', 'run the command without --approval, then have another admin use the new one'],
  ['revocation_not_written', 'run the same command again; portcullis replicas shows which replicas respond'],
  ['request_id_reused', 'run the command again'],
  [
    'fresh_sign_in_needed',
    `sign out at your identity provider, then run the command again; on the server’s own shell, ${ON_THE_SERVER} need no sign-in`,
  ],
  ['freshness_unprovable', 'sign in with another identity provider: portcullis login'],
  ['access_request_not_found', 'portcullis access list shows the requests that you may see'],
  ['access_conflict', 'look at the request again, then decide: portcullis access list'],
  ['provider_unavailable', 'run the command again in a moment'],
  ['drill_running', 'wait until it has finished, then run the command again'],
]);

/** Returns undefined for a code without an entry. */
export const nextStepFor = (code: string): string | undefined => NEXT.get(code);
