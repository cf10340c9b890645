/**
 * Signatures of webhooks, by the scheme of Standard Webhooks 1.0: HMAC-SHA-256 over `ID.TIMESTAMP.BODY`.
 *
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';
/** Bytes. */
const SHORTEST_SECRET = 24;
const LONGEST_SECRET = 64;
/** More than one while receivers change to the next. */
const MOST_SECRETS = 3;

/**
 * Reads the secrets in a file: one a line, each `whsec_` and base64.
 * @throws without the content, because errors are logged
 */
export function webhookSecretsIn(text: string): readonly Buffer[] {
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  const secrets = lines.map((line) => secretIn(line));
  if (secrets.length === 0 || secrets.length > MOST_SECRETS || secrets.includes(undefined)) {
    const one = `${PREFIX} and the base64 of ${SHORTEST_SECRET} to ${LONGEST_SECRET} random bytes`;
    throw new Error(`expected a secret for signatures of webhooks: ${one}, one a line, ${MOST_SECRETS} at most`);
  }
  return secrets.filter((secret) => secret !== undefined);
}

function secretIn(line: string): Buffer | undefined {
  const encoded = line.slice(PREFIX.length);
  // Node leaves out what is no base64: an attacker would be left with a shorter secret to guess.
  if (!line.startsWith(PREFIX) || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined;
  const secret = Buffer.from(encoded, 'base64');
  return secret.length >= SHORTEST_SECRET && secret.length <= LONGEST_SECRET ? secret : undefined;
}

/**
 * Returns the header fields that let a receiver verify a body. With several secrets there is a signature by each, so that
 * a receiver may know the old or the new one.
 * @param message.id the same for each attempt; without a full stop
 * @param message.seconds epoch seconds of this attempt: receivers reject what is minutes old, as a replay
 */
export function webhookHeaders(
  { id, seconds, body }: { readonly id: string; readonly seconds: number; readonly body: string },
  secrets: readonly Buffer[],
): Readonly<Record<string, string>> {
  const signed = secrets.map((secret) => {
    const signature = createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64');
    return `v1,${signature}`;
  });
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    ...(signed.length === 0 ? {} : { 'webhook-signature': signed.join(' ') }),
  };
}
