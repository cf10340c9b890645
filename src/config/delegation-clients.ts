/**
 * `delegation.clients`: programs that exchange a user's token for a delegated session's (RFC 8693): the settings of
 * one, and checks of several settings together.
 */
import * as z from 'zod';
import {
  clientCertificatesIn,
  clientKeysInText,
  EXPECTED_CERTIFICATES,
  EXPECTED_JWKS,
} from '../core/credential/client-keys.ts';
import { ACTOR_NAME_RULE, isActorName } from '../core/delegation/delegation.ts';
import { parseLimit } from '../core/delegation/parse.ts';
import { isMapping, items, textAt, texts, valueAt, type Path, type ValidationErrors } from './document.ts';
import { file } from './file-settings.ts';
import { proxied } from './outbound.ts';
import { RESERVED_CLIENT_IDS } from './public-clients.ts';
import { list, section } from './section.ts';
import { cidr, duration, host, issuerUrl, label, parseDuration, parseUrl } from './values.ts';

const DEFAULT_LIFETIME_SECONDS = 15 * 60;
/** A token that needs no key is good for a thief as well, so it is for a moment, one cluster and known addresses. */
const UNBOUND_LIFETIME_SECONDS = 120;

const RESOURCE =
  'the URI of the program as its clients know it, an https URL without query and fragment, such as https://mcp.example.com/mcp (http only for a loopback host)';
const LIMIT = 'what it may do at most: preset, namespaces and rules, at least one of them; it is never left out';

/** A limit of rights, with each of its errors at its own place. */
const limit = z.unknown().transform((value, context) => {
  const parsed = isMapping(value) ? parseLimit(value) : undefined;
  if (parsed?.ok === true) return parsed.value;
  const { place, message } = parsed?.reason ?? { place: '', message: LIMIT };
  context.issues.push({ code: 'custom', message, input: value, path: steps(place) });
  return z.NEVER;
});

/** Returns `rules[0].verbs` as steps. */
const steps = (place: string): (string | number)[] =>
  place
    .split(/[.[\]]+/)
    .filter((step) => step !== '')
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));

export const delegationClient = section({
  id: z
    .string({ error: ACTOR_NAME_RULE })
    .refine(isActorName, { error: ACTOR_NAME_RULE })
    .refine((id) => !RESERVED_CLIENT_IDS.has(id), {
      error: `a client id other than ${[...RESERVED_CLIENT_IDS].join(', ')}`,
    })
    .meta({ text: 'Its `client_id`, and the name under which it acts: in tokens, in lists and in audit logs.' }),
  resource: z
    .string({ error: RESOURCE })
    .refine((value) => parseUrl(value, { loopbackHttp: true, path: 'any' }) !== undefined, { error: RESOURCE })
    .meta({
      text: 'The audience of the users’ tokens that it may exchange (RFC 8707): exactly as its clients ask for it.',
    }),
  // A wrong key would be found at the first exchange only.
  jwksFile: file('file', (content) => (clientKeysInText(content).ok ? undefined : EXPECTED_JWKS))
    .exactOptional()
    .meta({
      text: 'It authenticates by assertions (`private_key_jwt`) that a key of this JWK Set verifies. Read again when it changes.',
    }),
  jwksUrl: issuerUrl.exactOptional().meta({
    text: 'The same, with the set at an address, which is read at most once a minute: nothing but this host is connected to, and no redirect is followed.',
  }),
  caFile: file()
    .exactOptional()
    .meta({ text: 'The CA certificates that verify the host of `jwksUrl`; without it, the system’s CAs.' }),
  ...proxied(
    'The proxy to the host of `jwksUrl`; `none`: directly.',
    'Name and password for that proxy, as `NAME:PASSWORD`.',
  ),
  certFile: file('file', (content) => (clientCertificatesIn(content).ok ? undefined : EXPECTED_CERTIFICATES))
    .exactOptional()
    .meta({
      text: 'It authenticates by one of these certificates, in PEM (`self_signed_tls_client_auth`); their CA is not looked at. Read again when it changes.',
    }),
  limit: limit.meta({
    text: 'What it may do at most: `preset`, `namespaces` and `rules`, each of which must allow a request, as do the user’s own rights ([agents and scripts](../agents.md)).',
  }),
  clusters: list(label, 'names of clusters')
    .min(1, { error: 'at least one cluster' })
    .meta({ text: 'The clusters that its tokens may be for.' }),
  lifetime: duration('10s', '24h').exactOptional().meta({
    text: 'How long a session lasts at most; it gets another one by another exchange.',
    default: '`15m`; `2m` where `binding` is `none`',
  }),
  binding: z
    .enum(['certificate', 'none'], {
      error: 'certificate (its tokens need the key of its connection) or none (they need no key)',
    })
    .default('certificate')
    .meta({
      text: '`certificate`: its tokens need the key of the connection on which it exchanged. `none`: they need no key, for programs that can present none; only with a `lifetime` of 2 minutes at most, one cluster, and `sourceCidrs`.',
    }),
  sourceCidrs: z
    .array(cidr, { error: 'CIDRs, such as 10.0.0.0/8' })
    .min(1, { error: 'at least one CIDR, or nothing: from anywhere' })
    .exactOptional()
    .meta({ text: 'Where it may exchange and use tokens.', default: 'from anywhere' }),
}).transform((given) => ({
  ...given,
  lifetime: given.lifetime ?? (given.binding === 'none' ? UNBOUND_LIFETIME_SECONDS : DEFAULT_LIFETIME_SECONDS),
}));

export const clientMetadata = section({
  hosts: list(host, 'host names').default([]).meta({
    text: 'Hosts whose client id metadata documents are accepted: MCP clients that are not registered here, and whose `client_id` is the URL of a document there. Each user confirms them by their host. Their tokens are for `delegation.clients` alone.',
  }),
  caFile: file()
    .exactOptional()
    .meta({ text: 'The CA certificates that verify these hosts; without it, the system’s CAs.' }),
  ...proxied('The proxy to these hosts; `none`: directly.', 'Name and password for that proxy, as `NAME:PASSWORD`.'),
}).prefault({});

/** Reads the document itself, so that an error elsewhere in a client hides none of these. */
export function checkDelegationClients(root: unknown, errors: ValidationErrors): void {
  const delegation = valueAt(root, ['delegation']);
  const allClusters = items(root, 'clusters').map((cluster) => textAt(cluster, 'name'));
  const delegable = valueAt(delegation, ['clusters']);
  const publicIds = items(valueAt(root, ['sessions']), 'publicClients').map((client) => textAt(client, 'id'));
  const clients = items(delegation, 'clients');
  if (clients.length === 0 && items(valueAt(delegation, ['clientMetadata']), 'hosts').length > 0) {
    errors.add(
      ['delegation', 'clientMetadata', 'hosts'],
      'nothing, or delegation.clients as well: its tokens are for these alone',
    );
  }
  clients.forEach((client, index) => {
    if (!isMapping(client)) return;
    const base = ['delegation', 'clients', index];
    for (const key of ['id', 'resource']) {
      const value = textAt(client, key);
      const first = clients.findIndex((other) => textAt(other, key) === value);
      if (value !== undefined && first < index) {
        errors.add([...base, key], `its own: delegation.clients[${first}] has this one`);
      }
    }
    const id = textAt(client, 'id');
    if (id !== undefined && publicIds.includes(id)) {
      errors.add([...base, 'id'], `an id of its own: sessions.publicClients[${publicIds.indexOf(id)}] has this one`);
    }
    texts(client['clusters']).forEach((cluster, position) => {
      const place = [...base, 'clusters', position];
      if (!allClusters.includes(cluster)) errors.add(place, 'the name of one of the clusters');
      else if (Array.isArray(delegable) && !delegable.includes(cluster))
        errors.add(place, 'one of delegation.clusters');
    });
    checkAuthentication(client, base, errors);
    if (client['binding'] === 'none') checkUnbound(client, base, errors);
  });
}

const KEY_SETTINGS = ['jwksFile', 'jwksUrl', 'certFile'] as const;

function checkAuthentication(client: Readonly<Record<string, unknown>>, base: Path, errors: ValidationErrors): void {
  const given = KEY_SETTINGS.filter((key) => client[key] !== undefined);
  const [first, second] = given;
  if (first === undefined) {
    const expected =
      'jwksFile or jwksUrl (it signs assertions, private_key_jwt), or certFile (it presents a certificate)';
    errors.add(base, `how it authenticates: ${expected}`);
  }
  if (second !== undefined) errors.add([...base, second], `nothing, because ${String(first)} is set: one of the two`);
  for (const key of ['caFile', 'proxy', 'proxyCredentialsFile']) {
    if (client[key] !== undefined && client['jwksUrl'] === undefined) {
      errors.add([...base, key], 'nothing, or jwksUrl as well: nothing else of it is fetched');
    }
  }
}

/** Anyone who copies a token that needs no key can use it. */
function checkUnbound(client: Readonly<Record<string, unknown>>, base: Path, errors: ValidationErrors): void {
  const lifetime = parseDuration(textAt(client, 'lifetime') ?? '1s');
  if (lifetime !== undefined && lifetime > UNBOUND_LIFETIME_SECONDS) {
    errors.add([...base, 'lifetime'], 'at most 2m, because binding is none');
  }
  if (Array.isArray(client['clusters']) && client['clusters'].length > 1) {
    errors.add([...base, 'clusters'], 'exactly one cluster, because binding is none');
  }
  if (client['sourceCidrs'] === undefined) {
    errors.add([...base, 'sourceCidrs'], 'the addresses of the program, because binding is none');
  }
  if (client['certFile'] !== undefined) {
    errors.add([...base, 'binding'], 'certificate: it authenticates with one, so its tokens can be bound to it');
  }
}
