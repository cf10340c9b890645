/** Records the requests and responses of a probe, as far as a report needs them. */
import type { OutboundRequest } from '../outbound.ts';
import { sentForms } from '../provider-response.ts';

export interface RecordedResponse {
  readonly url: string;
  readonly status: number;
  /** How the request authenticated the client. */
  readonly proof: 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | undefined;
  readonly response: Response;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface Listener {
  readonly onResponse: (url: string, request: OutboundRequest, response: Response) => void;
  /** Returns the latest response to a request whose address ends so. */
  last(end: string): RecordedResponse | undefined;
  /** All of them, oldest first. */
  readonly all: readonly RecordedResponse[];
  /** Removes this secret as well from now on: a token of a response, or a value of the authorization request. */
  readonly hide: (secret: string) => void;
  /** Returns the text without any of our credentials. */
  readonly redacted: (text: string) => string;
}

/** Parts of a form that no report may show. */
const SECRET_FIELDS = ['client_secret', 'client_assertion', 'refresh_token', 'code', 'code_verifier'];
/** A shorter secret would remove ordinary text as well. */
const MIN_SECRET_LENGTH = 4;

/** @param known secrets that may not be in any request yet */
export function createListener(known: readonly string[]): Listener {
  const all: RecordedResponse[] = [];
  const secrets = new Set<string>();
  const hide = (secret: string): void => {
    if (secret.length < MIN_SECRET_LENGTH) return;
    for (const form of sentForms(secret)) secrets.add(form);
  };
  for (const secret of known) hide(secret);
  return {
    all,
    hide,
    onResponse(url, request, response) {
      const form = formOf(request);
      const authorization = request.headers['authorization'] ?? '';
      // A hostile provider repeats in its response what it received, so that a report shows it. So every
      // credential is removed.
      hide(authorization.replace(/^Basic /, ''));
      for (const field of SECRET_FIELDS) hide(form.get(field) ?? '');
      all.push({ url, status: response.status, proof: proofOf(authorization, form), response, at: Date.now() });
    },
    last: (end) => all.findLast(({ url }) => url.endsWith(end)),
    redacted: (text) =>
      [...secrets]
        .toSorted((left, right) => right.length - left.length)
        .reduce((rest, secret) => rest.replaceAll(secret, '…'), text),
  };
}

const formOf = ({ body }: OutboundRequest): URLSearchParams =>
  new URLSearchParams(body instanceof URLSearchParams || typeof body === 'string' ? body : '');

function proofOf(authorization: string, form: URLSearchParams): RecordedResponse['proof'] {
  if (authorization.startsWith('Basic ')) return 'client_secret_basic';
  if (form.has('client_secret')) return 'client_secret_post';
  return form.has('client_assertion') ? 'private_key_jwt' : undefined;
}
