/**
 * Third-party OAuth clients such as kubelogin: the settings of one, and checks of several settings together.
 *
 * They are public (RFC 6749 §2.1): a client id is no secret. An attacker who knows it is kept from a code by the
 * redirect URI and PKCE. So there is no private-use URI scheme, which any program on the same machine can claim
 * (RFC 8252 §8.1), and nothing that leaves the machine unencrypted.
 */
import * as z from 'zod';
import { BROWSER_CLIENT, PLUGIN_CLIENT_ID } from '../core/core.ts';
import { isRedirectUri, REDIRECT_URI } from '../core/http/redirect-uri.ts';
import { isMapping, items, textAt, valueAt, type ValidationErrors } from './document.ts';
import { list, section } from './section.ts';
import { label, text } from './values.ts';

/**
 * The redirect URIs of kubelogin (https://github.com/int128/kubelogin/blob/master/docs/usage.md); as it is a
 * native client, any other port of `localhost` works too (RFC 8252 §7.3).
 */
const KUBELOGIN_REDIRECT_URIS: readonly string[] = ['http://localhost:8000', 'http://localhost:18000'];

/** Ids of our own clients: the last is that of workloads' token exchanges. */
export const RESERVED_CLIENT_IDS: ReadonlySet<string> = new Set([PLUGIN_CLIENT_ID, BROWSER_CLIENT, 'workload']);

export const publicClient = section({
  id: label
    .refine((id) => !RESERVED_CLIENT_IDS.has(id), {
      error: `a client id other than ${[...RESERVED_CLIENT_IDS].join(', ')}`,
    })
    .meta({ text: 'Its `client_id`.' }),
  name: text('a display name')
    .regex(/^[^\p{C}\p{Zl}\p{Zp}]{1,64}$/u, { error: 'a display name of at most 64 characters' })
    .exactOptional()
    .meta({ text: 'The name that users see on the page that asks them.', default: 'the id' }),
  cluster: label.exactOptional().meta({ text: 'The one cluster that its tokens are for.' }),
  resource: text('the resource of one of delegation.clients').exactOptional().meta({
    text: 'In place of `cluster`: the `resource` of one of `delegation.clients`, for which its tokens are. They are good for nothing else.',
  }),
  redirectUris: list(z.string({ error: REDIRECT_URI }).refine(isRedirectUri, { error: REDIRECT_URI }), 'redirect URIs')
    .min(1, { error: 'at least one redirect URI' })
    .default([...KUBELOGIN_REDIRECT_URIS])
    .meta({ text: 'Where the browser may be sent back to; the port of a loopback host does not count.' }),
}).transform((given) => ({ ...given, name: given.name ?? given.id }));

/** Reads the document itself, so that an error elsewhere in a client hides none of these. */
export function checkPublicClients(root: unknown, errors: ValidationErrors): void {
  const clusters = items(root, 'clusters').map((cluster) => textAt(cluster, 'name'));
  const resources = items(valueAt(root, ['delegation']), 'clients').map((client) => textAt(client, 'resource'));
  const clients = items(valueAt(root, ['sessions']), 'publicClients');
  const ids = clients.map((client) => textAt(client, 'id'));
  clients.forEach((client, index) => {
    if (!isMapping(client)) return;
    const base = ['sessions', 'publicClients', index];
    const id = ids[index];
    if (id !== undefined && ids.indexOf(id) < index) {
      errors.add([...base, 'id'], `an id of its own: sessions.publicClients[${ids.indexOf(id)}] has this one`);
    }
    const cluster = textAt(client, 'cluster');
    const resource = textAt(client, 'resource');
    if (client['cluster'] === undefined && client['resource'] === undefined) {
      errors.add(
        [...base, 'cluster'],
        'the name of one of the clusters, or resource: that of one of delegation.clients',
      );
    }
    if (cluster !== undefined && !clusters.includes(cluster)) {
      errors.add([...base, 'cluster'], 'the name of one of the clusters');
    }
    if (client['cluster'] !== undefined && client['resource'] !== undefined) {
      errors.add([...base, 'resource'], 'nothing, because cluster is set: its tokens are for one of the two');
    } else if (resource !== undefined && !resources.includes(resource)) {
      errors.add([...base, 'resource'], 'the resource of one of delegation.clients');
    }
  });
}
