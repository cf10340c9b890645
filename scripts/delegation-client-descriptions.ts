/** Descriptions of `delegation.clients`, in place of the sample’s own. */
export const DELEGATION_CLIENT_DESCRIPTIONS: readonly (readonly [path: string, meaning: string])[] = [
  [
    'delegation.clients',
    'Programs that exchange a user’s token for one of a delegated session ([token exchange](../token-exchange.md)).',
  ],
  [
    'delegation.clients[].id',
    'Its `client_id`, and the name under which it acts: in tokens, in lists and in audit logs.',
  ],
  [
    'delegation.clients[].resource',
    'The audience of the users’ tokens that it may exchange (RFC 8707): exactly as its clients ask for it.',
  ],
  [
    'delegation.clients[].jwksFile',
    'It authenticates by assertions (`private_key_jwt`) that a key of this JWK Set verifies. Read again when it changes.',
  ],
  [
    'delegation.clients[].jwksUrl',
    'The same, with the set at an address, which is read at most once a minute: nothing but this host is connected to, and no redirect is followed.',
  ],
  [
    'delegation.clients[].caFile',
    'The CA certificates that verify the host of `jwksUrl`; without it, the system’s CAs.',
  ],
  ['delegation.clients[].proxy', 'The proxy to the host of `jwksUrl`; `none`: directly.'],
  ['delegation.clients[].proxyCredentialsFile', 'Name and password for that proxy, as `NAME:PASSWORD`.'],
  [
    'delegation.clients[].certFile',
    'It authenticates by one of these certificates, in PEM (`self_signed_tls_client_auth`); their CA is not looked at. Read again when it changes.',
  ],
  [
    'delegation.clients[].limit',
    'What it may do at most: `preset`, `namespaces` and `rules`, each of which must allow a request, as do the user’s own rights ([agents and scripts](../agents.md)).',
  ],
  ['delegation.clients[].clusters', 'The clusters that its tokens may be for.'],
  ['delegation.clients[].lifetime', 'How long a session lasts at most; it gets another one by another exchange.'],
  [
    'delegation.clients[].binding',
    '`certificate`: its tokens need the key of the connection on which it exchanged. `none`: they need no key, for programs that can present none; only with a `lifetime` of 2 minutes at most, one cluster, and `sourceCidrs`.',
  ],
  ['delegation.clients[].sourceCidrs', 'Where it may exchange and use tokens.'],
  [
    'delegation.clientMetadata.hosts',
    'Hosts whose client id metadata documents are accepted: MCP clients that are not registered here, and whose `client_id` is the URL of a document there. Each user confirms them by their host. Their tokens are for `delegation.clients` alone.',
  ],
  ['delegation.clientMetadata.caFile', 'The CA certificates that verify these hosts; without it, the system’s CAs.'],
  ['delegation.clientMetadata.proxy', 'The proxy to these hosts; `none`: directly.'],
  ['delegation.clientMetadata.proxyCredentialsFile', 'Name and password for that proxy, as `NAME:PASSWORD`.'],
  [
    'sessions.publicClients',
    'OAuth clients without client certificates, such as kubelogin or an MCP client. Each is for one audience.',
  ],
  ['sessions.publicClients[].id', 'Its `client_id`.'],
  ['sessions.publicClients[].name', 'The name that users see on the page that asks them.'],
  ['sessions.publicClients[].cluster', 'The one cluster that its tokens are for.'],
  [
    'sessions.publicClients[].resource',
    'In place of `cluster`: the `resource` of one of `delegation.clients`, for which its tokens are. They are good for nothing else.',
  ],
  [
    'sessions.publicClients[].redirectUris',
    'Where the browser may be sent back to; the port of a loopback host does not count.',
  ],
];
