/**
 * Lists the objects of a cluster, page by page. Only one page is in memory, however large the cluster is, and a
 * page that is too long is requested again in smaller ones.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../core/errors.ts';
import { KINDS, type Kind } from './rules/kinds.ts';
import type { HttpResponse } from '../cli/http/http-client.ts';
import { arrayAt, isRecord, numberAt, recordAt, stringAt, type JsonRecord } from '../cli/http/json-shape.ts';
import type { ClusterApi } from '../cli/session/cluster-api.ts';
import { plainText } from '../cli/terminal/plain-text.ts';

export interface Reader {
  /** A list begins, perhaps again: objects that were added of it do not count. */
  begin(): void;
  add(object: JsonRecord): void;
  /** Called after each page. @param total as far as the server reports it */
  onPage?(taken: number, total: number): void;
}

/** Objects on a page; the smaller sizes are for large objects. */
const PAGE_SIZES = [500, 100, 20, 4, 1] as const;

/** The limits of a list. Pages with fewer objects than requested are counted, so that no list goes on forever. */
const MOST = { objects: 5_000_000, shortPages: 10_000 };

const BUSY = new Set([429, 500, 502, 503, 504]);
const WAITS_MS = [500, 2000];

const WHOLE = 'application/json';
/** Names, labels and annotations only. */
const METADATA = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';

type Read = { readonly done: true } | { readonly done: false; readonly expired: boolean; readonly why: string };

/**
 * Reads every object of a kind, in all namespaces.
 * @returns why the list cannot be read; undefined where all of it was. In the first case no object counts
 * @throws AppError where the cluster cannot be reached at all
 */
export async function readKind(
  api: ClusterApi,
  kind: Kind,
  reader: Reader,
  wait: (ms: number) => Promise<unknown> = delay,
): Promise<string | undefined> {
  reader.begin();
  let read = await readList(api, kind, reader, wait);
  if (!read.done && read.expired) {
    // The position in the list has expired: once more from the start, and only once.
    reader.begin();
    read = await readList(api, kind, reader, wait);
  }
  if (read.done) return undefined;
  reader.begin();
  return read.why;
}

async function readList(
  api: ClusterApi,
  kind: Kind,
  reader: Reader,
  wait: (ms: number) => Promise<unknown>,
): Promise<Read> {
  let from = '';
  let [taken, shortPages] = [0, 0];
  let size = 0;
  // The end of the objects for which a larger page was too long: from there on it is tried again.
  let largeUntil = 0;
  while (taken < MOST.objects && shortPages < MOST.shortPages) {
    const page = await requestPage(api, kind, { from, size }, wait);
    if ('why' in page) return { done: false, ...page };
    if (page.size > size) largeUntil = taken + sizeOf(page.size - 1);
    size = page.size;
    const { body } = page;
    const items = arrayAt(body, 'items').filter(isRecord);
    for (const item of items) reader.add(item);
    taken += items.length;
    if (items.length < sizeOf(size)) shortPages += 1;
    if (size > 0 && taken >= largeUntil) {
      size -= 1;
      largeUntil = taken + sizeOf(size - 1);
    }
    const list = recordAt(body, 'metadata') ?? {};
    reader.onPage?.(taken, taken + (numberAt(list, 'remainingItemCount') ?? 0));
    from = stringAt(list, 'continue') ?? '';
    if (from === '') return { done: true };
  }
  return { done: false, expired: false, why: 'the list does not end' };
}

/** @param index into `PAGE_SIZES` */
const sizeOf = (index: number): number => PAGE_SIZES[index] ?? 1;

interface PagePosition {
  readonly from: string;
  /** Index into `PAGE_SIZES`. */
  readonly size: number;
}

type Page = { readonly body: JsonRecord; readonly size: number } | { readonly expired: boolean; readonly why: string };

async function requestPage(
  api: ClusterApi,
  kind: Kind,
  { from, size: first }: PagePosition,
  wait: (ms: number) => Promise<unknown>,
): Promise<Page> {
  for (let size = first; size < PAGE_SIZES.length; size += 1) {
    try {
      const response = await patiently(() => api.get(pathOf(kind, from, sizeOf(size)), acceptOf(kind)), wait);
      return response.status === 200 ? pageOf(kind, response.body, size) : rejection(response);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (error.reason === 'not_portcullis') return { expired: false, why: 'not served by this cluster' };
      if (error.reason !== 'answer_too_long') throw error;
    }
  }
  return { expired: false, why: 'one of its objects is too large' };
}

function pathOf(kind: Kind, from: string, limit: number): string {
  const { path, query } = KINDS[kind];
  const next = from === '' ? '' : `continue=${encodeURIComponent(from)}`;
  return `${path}?${[`limit=${limit}`, query, next].filter((part) => part !== '').join('&')}`;
}

const acceptOf = (kind: Kind): string => (KINDS[kind].metadataOnly ? METADATA : WHOLE);

function pageOf(kind: Kind, body: JsonRecord, size: number): Page {
  // A server that does not support this form sends whole Secrets: they are not inspected.
  if (KINDS[kind].metadataOnly && stringAt(body, 'kind') !== 'PartialObjectMetadataList') {
    return { expired: false, why: 'the server does not send only the metadata' };
  }
  return Array.isArray(body['items']) || body['items'] === null
    ? { body, size }
    : { expired: false, why: 'the response is not a list' };
}

const rejection = ({ status, body }: HttpResponse): Page => ({
  expired: status === 410,
  why: `${status} ${plainText(stringAt(body, 'reason') ?? '', 60)}`.trim(),
});

/** Tries again where the server is busy for a moment. */
async function patiently(
  sendRequest: () => Promise<HttpResponse>,
  wait: (ms: number) => Promise<unknown>,
): Promise<HttpResponse> {
  for (const ms of WAITS_MS) {
    const response = await sendRequest();
    if (!BUSY.has(response.status)) return response;
    await wait(ms);
  }
  return sendRequest();
}
