/** Access requests as a server sends them. */
type Json = Record<string, unknown>;

const MINUTE = 60_000;
const time = (ms: number): string => new Date(Date.now() + ms).toISOString();

export const ROLE = {
  name: 'shop-admins',
  description: 'Administer the shop',
  groups: ['shop:admins'],
  clusters: ['prod'],
  needed: 1,
  longestSeconds: 3600,
  needsFreshSignIn: false,
};

export const accessRequest = (changes: Json = {}): Json => ({
  id: '7fK2aaaaaaaaaaaaaaaaaa',
  role: 'shop-admins',
  description: 'Administer the shop',
  groups: ['shop:admins'],
  clusters: ['prod'],
  user: 'corp:alice',
  account: 'corp/alice',
  session: 's-1',
  address: '192.0.2.7',
  device: 'laptop',
  reason: 'INC-4711',
  seconds: 1800,
  state: 'open',
  requestedAt: time(-2 * MINUTE),
  openUntil: time(24 * 60 * MINUTE),
  needed: 1,
  decisions: [],
  link: 'https://evil.example.com/access/7fK2aaaaaaaaaaaaaaaaaa',
  may: ['withdraw'],
  ...changes,
});

export const decision = (approved: boolean, reason?: string): Json => ({
  user: 'corp:bob',
  at: time(0),
  approved,
  ...(reason === undefined ? {} : { reason }),
});

/** A request whose grant ends after some seconds by the server's clock, which is an hour ahead of this one's. */
export const granted = (leftSeconds: number, changes: Json = {}): Json =>
  accessRequest({
    state: 'granted',
    decisions: [decision(true)],
    grant: { beganAt: time(60 * MINUTE), endsAt: time(60 * MINUTE + leftSeconds * 1000), leftSeconds },
    may: ['end'],
    ...changes,
  });

export const listOf = (mine: readonly Json[], queue: readonly Json[] = [], roles: readonly Json[] = [ROLE]) => ({
  status: 200,
  body: { roles, mine, queue },
});
