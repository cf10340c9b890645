/**
 * Who is told of access requests, by webhook (`access.notify`): the settings of one receiver, and checks of several
 * settings together.
 */
import * as z from 'zod';
import { NOTICE_KINDS } from '../core/access/notice.ts';
import { webhookSecretsIn } from '../core/access/webhook-signature.ts';
import { isLoopback } from '../core/http/address.ts';
import { items, textAt, texts, valueAt, type Path, type ValidationErrors } from './document.ts';
import { file } from './file-settings.ts';
import { proxied } from './outbound.ts';
import { list, section } from './section.ts';
import { duration, label, webhookUrl } from './values.ts';

const NOTICE_FORMATS = ['json', 'slack', 'teams'] as const;

/** @param check throws where the file has something else: it would be found at the first notice only */
const holding =
  (check: (text: string) => unknown) =>
  (text: string): string | undefined => {
    try {
      check(text);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message.replace(/^expected /, 'a file with ') : String(error);
    }
  };

export const receiver = section({
  name: label.meta({ text: 'What it is called in the log and in metrics.' }),
  format: z
    .enum(NOTICE_FORMATS, { error: 'json (signed, for programs), slack or teams (Workflows of Microsoft Teams)' })
    .default('json')
    .meta({ text: 'Json (signed, for programs), slack, or teams (Workflows of Microsoft Teams).' }),
  url: webhookUrl
    .exactOptional()
    .meta({ text: 'Its URL, for `json` alone. Redirects are not followed; plain http only for a loopback host.' }),
  urlFile: file('secret', holding(assertWebhookUrl)).exactOptional().meta({
    text: 'A file that holds its URL, where that is a secret: required for `slack` and `teams`, whose URLs let anyone write to the channel. It is followed when it is replaced.',
  }),
  secretFile: file('secret', holding(webhookSecretsIn)).exactOptional().meta({
    text: 'Holds the secret for signatures (Standard Webhooks): `whsec_` and the base64 of 24 to 64 random bytes. Required for `json`. With several, one a line and three at most, each signs, so that receivers can change to another one. It is followed when it is replaced.',
  }),
  caFile: file().exactOptional().meta({
    text: 'The CA certificates that verify it; without it, the system’s CAs. Followed.',
    default: "the system's CAs",
  }),
  ...proxied(
    'The proxy of this webhook alone, as `providers[].proxy`.',
    'Name and password for that proxy, as `NAME:PASSWORD`.',
  ),
  timeout: duration('1s', '1m').prefault('10s').meta({ text: 'How long one attempt may take.' }),
  events: list(z.enum(NOTICE_KINDS, { error: `one of ${NOTICE_KINDS.join(', ')}` }), 'events')
    .min(1, { error: 'at least one event, or nothing: all' })
    .exactOptional()
    .meta({
      text: 'Which events (default: all): requested, approved, granted, break-glass, denied, withdrawn, expired, ended.',
      default: 'all',
    }),
  roles: list(label, 'names of roles')
    .min(1, { error: 'at least one role, or nothing: all' })
    .exactOptional()
    .meta({ text: 'Of which roles (default: all).', default: 'all' }),
});

/** Reads the document itself, so that an error elsewhere hides none of these. */
export function checkNotify(root: unknown, errors: ValidationErrors): void {
  const access = valueAt(root, ['access']);
  const roles = items(access, 'roles').map((role) => textAt(role, 'name'));
  const receivers = items(access, 'notify');
  const names = receivers.map((receiver) => textAt(receiver, 'name'));
  receivers.forEach((receiver, index) => {
    const base = ['access', 'notify', index];
    const first = names.indexOf(names[index]);
    if (names[index] !== undefined && first < index) {
      errors.add([...base, 'name'], `a name of its own: access.notify[${first}] has this one`);
    }
    checkAddress(receiver, base, errors);
    texts(valueAt(receiver, ['roles'])).forEach((name, at) => {
      if (!roles.includes(name)) errors.add([...base, 'roles', at], 'the name of one of access.roles');
    });
  });
}

function checkAddress(receiver: unknown, base: Path, errors: ValidationErrors): void {
  const given = ['url', 'urlFile'].filter((key) => valueAt(receiver, [key]) !== undefined);
  const format = textAt(receiver, 'format') ?? 'json';
  // Anyone who knows the address of a channel writes to it as Portcullis does, so it is no part of the configuration.
  if (format === 'slack' || format === 'teams') {
    const expected = `nothing, but urlFile: anyone who knows the URL of a channel can write there, so it is a secret`;
    if (given.includes('url')) errors.add([...base, 'url'], expected, { show: false });
    else if (given.length === 0) errors.add([...base, 'urlFile'], 'the path of a file that holds the URL');
    return;
  }
  if (given.length !== 1) errors.add(base, 'exactly one of url, and urlFile where the URL is a secret');
  if (valueAt(receiver, ['secretFile']) === undefined) {
    const why = 'without a signature a receiver cannot tell a notice from one that an attacker sends';
    errors.add([...base, 'secretFile'], `the path of a file that holds the secret for signatures: ${why}`);
  }
}

/**
 * Checks what a file holds as the URL of a webhook. It may have a query, as those of Workflows do.
 * @throws without the content, because it is a secret and errors are logged
 */
export function assertWebhookUrl(content: string): void {
  const url = URL.canParse(content) ? new URL(content) : undefined;
  const isSecure = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (url === undefined || !isSecure || url.username !== '' || url.password !== '' || /[\s#]/.test(content)) {
    throw new Error('expected the https URL of a webhook, without user, password and fragment, on one line');
  }
}
