/** A reader of server-sent events that keeps all it is told, at either door. */
import { request as plainRequest, type IncomingMessage } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { serverEvents, type ServerEvent } from '../../src/cli/http/server-sent-events.ts';
import { USERS } from '../../demo/demo.ts';
import { CookieBrowser } from './cookie-browser.ts';
import type { ClientKey } from './oauth-client.ts';

export interface Read {
  /** On loopback. */
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** With it, it is the api listener that is asked. */
  readonly tls?: ClientKey & { readonly ca: string };
}

export interface EventReader {
  readonly status: number;
  readonly response: IncomingMessage;
  /** In order. */
  readonly told: readonly ServerEvent[];
  /** The data of the events of one name. */
  data(event: string): readonly unknown[];
  /** `ECONNRESET` where it was cut, undefined where it ended in good order. */
  readonly ended: Promise<string | undefined>;
  close(): void;
}

export async function readEvents({ port, path, headers, tls }: Read): Promise<EventReader> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const how = { host: '127.0.0.1', port, path, agent: false, headers: { accept: 'text/event-stream', ...headers } };
  const asked = tls === undefined ? plainRequest(how) : tlsRequest({ ...how, ...tls, servername: 'localhost' });
  asked.on('response', resolve).on('error', reject).end();
  const response = await promise;
  const told: ServerEvent[] = [];
  const read = async (): Promise<string | undefined> => {
    try {
      for await (const event of serverEvents(response)) if (event.data !== '') told.push(event);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  return {
    status: response.statusCode ?? 0,
    response,
    told,
    data: (name) => told.filter(({ event }) => event === name).map(({ data }) => JSON.parse(data) as unknown),
    ended: read(),
    close: () => void response.destroy(),
  };
}

/** Signs in with a browser at the demo. @returns it, signed in */
export async function browserOf(web: string, user: string): Promise<CookieBrowser> {
  const browser = new CookieBrowser();
  const password = USERS.find(({ name }) => name === user)?.password ?? '';
  let { url, html } = await browser.follow(`${web}/login/start?provider=demo&to=me`);
  for (const form of [{ login: user, password }, {}]) {
    const action = /<form method="post" action="(\/interaction\/[^"]+)"/.exec(html)?.[1];
    if (action === undefined) break;
    const { location } = await browser.post(new URL(action, url).href, form);
    ({ url, html } = await browser.follow(new URL(location, url).href));
  }
  if (url !== `${web}/me`) throw new Error(`${user} was not let in: ${html}`);
  return browser;
}
