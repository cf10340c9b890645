/** Sessions (`sessions`): the settings, and checks of several of them together. */
import * as z from 'zod';
import type { ValidationErrors } from './document.ts';
import { publicClient } from './public-clients.ts';
import { list, section } from './section.ts';
import { duration } from './values.ts';

export const sessions = section({
  // Above 15 minutes a revocation's entry would have to stay longer than the log is meant to.
  accessToken: duration('1m', '15m').prefault('5m').meta({ text: 'How long an access token lives.' }),
  idle: duration('1m', '720h')
    .prefault('12h')
    .meta({ text: 'A session ends when no token was issued for it for this time.' }),
  absolute: duration('1m', '720h').prefault('24h').meta({ text: 'A session ends after this, whatever happens.' }),
  recheck: duration('30s', '1h').prefault('5m').meta({
    text: 'How often a user with an open stream, or who uses the pages or a console, is re-checked at their identity provider.',
  }),
  recheckGrace: duration('1m', '12h').prefault('15m').meta({
    text: 'How long their streams and consoles go on while the provider cannot be reached; at least `recheck`.',
  }),
  binding: z
    .enum(['required', 'off'], {
      error: 'required, or off (tokens that need no key; only where a load balancer ends TLS)',
    })
    .default('required')
    .meta({
      text: 'Whether the plugin’s tokens are bound to its key. `off`: they are not, and refresh tokens rotate; only behind a load balancer that must end TLS. [Third-party clients](../third-party-clients.md) describes the risks.',
    }),
  deviceCode: z
    .enum(['on', 'sameNetwork', 'off'], {
      error: 'on, sameNetwork (the browser must be in the network of the device) or off',
    })
    .default('on')
    .meta({
      text: 'Signing in by a code, for machines without a browser. `sameNetwork`: the browser must come from the device’s own address, or its /24 or /56; only where the web listener sees the browsers’ own addresses.',
    }),
  publicClients: list(publicClient, 'clients, each with id, and cluster or resource').default([]).meta({
    text: 'OAuth clients without client certificates, such as kubelogin or an MCP client. Each is for one audience.',
  }),
}).prefault({});

/** @param parsed absent where the section has errors of its own */
export function checkSessions(parsed: z.output<typeof sessions> | undefined, errors: ValidationErrors): void {
  if (parsed === undefined) return;
  if (parsed.idle > parsed.absolute) errors.add(['sessions', 'idle'], 'at most sessions.absolute');
  if (parsed.accessToken > parsed.idle) errors.add(['sessions', 'accessToken'], 'at most sessions.idle');
  if (parsed.recheckGrace < parsed.recheck) errors.add(['sessions', 'recheckGrace'], 'at least sessions.recheck');
}
