/** A vendor's API over https: answers by path, remembers what was asked and with which token. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { makeCertificates } from '../../demo/certificates.ts';

export interface Asked {
  readonly url: URL;
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

export interface Answer {
  readonly status?: number;
  readonly body: unknown;
}

export interface VendorApi {
  readonly origin: string;
  /** PEM that its certificate is signed by. */
  readonly ca: string;
  readonly asked: Asked[];
  answer: (asked: Asked) => Answer;
  close(): Promise<void>;
}

/** @param host its name; it listens on loopback whatever that is */
export async function startVendorApi(host = 'localhost'): Promise<VendorApi> {
  const { ca, cert, key } = await makeCertificates([host], Date.now());
  const server = createServer({ cert, key });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `https://${host}:${(server.address() as AddressInfo).port}`;
  const api: VendorApi = {
    origin,
    ca,
    asked: [],
    answer: () => ({ status: 404, body: {} }),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  server.on('request', (req, res) => {
    let form = '';
    req.setEncoding('utf8');
    req.on('data', (chunk: string) => (form += chunk));
    req.on('end', () => {
      const asked = {
        url: new URL(req.url ?? '', origin),
        authorization: req.headers.authorization,
        form: new URLSearchParams(form),
      };
      api.asked.push(asked);
      const { status = 200, body } = api.answer(asked);
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  return api;
}

/** Microsoft Graph's `transitiveMemberOf`: pages of `$top`, the next one's address in `@odata.nextLink`. */
export const graphAnswer =
  (api: VendorApi, members: readonly object[]) =>
  ({ url }: Asked): Answer => {
    if (url.pathname !== '/v1.0/me/transitiveMemberOf') return { status: 404, body: {} };
    const size = Number(url.searchParams.get('$top'));
    const from = Number(url.searchParams.get('$skiptoken') ?? 0);
    const next = new URL(url);
    next.searchParams.set('$skiptoken', String(from + size));
    return {
      body: {
        '@odata.context': `${api.origin}/v1.0/$metadata#directoryObjects`,
        ...(from + size < members.length ? { '@odata.nextLink': next.href } : {}),
        value: members.slice(from, from + size),
      },
    };
  };

/** The Directory API's `groups.list`: at most 200 a page, the next one by `pageToken`; no `groups` where there are none. */
export const directoryAnswer =
  (emails: readonly string[]) =>
  ({ url }: Asked): Answer => {
    if (url.pathname === '/token')
      return { body: { access_token: 'service-token', expires_in: 3600, token_type: 'Bearer' } };
    if (url.pathname !== '/admin/directory/v1/groups') return { status: 404, body: {} };
    const size = Math.min(200, Number(url.searchParams.get('maxResults')));
    const from = Number(url.searchParams.get('pageToken') ?? 0);
    const groups = emails.slice(from, from + size).map((email) => ({ kind: 'admin#directory#group', email }));
    return {
      body: {
        kind: 'admin#directory#groups',
        ...(groups.length === 0 ? {} : { groups }),
        ...(from + size < emails.length ? { nextPageToken: String(from + size) } : {}),
      },
    };
  };
