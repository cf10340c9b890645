/**
 * The objects of a cluster, page by page. Whatever size the cluster has, one page of it is in memory, and a page that is too long is asked
 * for again in smaller ones.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../core/errors.ts';
import { KINDS, type Kind } from './rules/kinds.ts';
import type { HttpAnswer } from '../cli/http/http-client.ts';
import { arrayAt, isRecord, numberAt, recordAt, stringAt, type JsonRecord } from '../cli/http/json-shape.ts';
import { plainText } from '../cli/terminal/plain-text.ts';

export interface ClusterApi {
  /**
   * @param path with its query
   * @returns the answer, whatever its status
   * @throws AppError where there is none; `answer_too_long` as its reason where it was longer than a page may be
   */
  get(path: string, accept: string): Promise<HttpAnswer>;
}

export interface Reader {
  /** The list begins, perhaps anew: what was taken of it does not count. */
  begin(): void;
  take(object: JsonRecord): void;
  /** After each page. @param total as far as the server says */
  onPage?(taken: number, total: number): void;
}

/** Objects of a page; the smaller ones are for objects that are large. */
const PAGE_SIZES = [500, 100, 20, 4, 1] as const;

/** A list that has not ended by then does not end. Pages that bring less than was asked for are counted, so that none can go on for ever. */
const MOST = { objects: 5_000_000, shortPages: 10_000 };

const BUSY = new Set([429, 500, 502, 503, 504]);
const WAITS_MS = [500, 2000];

const WHOLE = 'application/json';
/** Names, labels and annotations only. */
const METADATA = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';

type Read = { readonly done: true } | { readonly done: false; readonly gone: boolean; readonly why: string };

/**
 * Reads every object of a kind, in all namespaces.
 * @returns why it cannot be read; undefined where all of it was. In the first case nothing counts as taken
 * @throws AppError where the cluster cannot be asked at all
 */
export async function readKind(
  api: ClusterApi,
  kind: Kind,
  reader: Reader,
  wait: (ms: number) => Promise<unknown> = delay,
): Promise<string | undefined> {
  reader.begin();
  let read = await readList(api, kind, reader, wait);
  if (!read.done && read.gone) {
    // The place in the list is too old: once more from the start, and no more than once.
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
  // Where the objects end for which a larger page was too long: from there on it is tried again.
  let largeUntil = 0;
  while (taken < MOST.objects && shortPages < MOST.shortPages) {
    const asked = await askPage(api, kind, { from, size }, wait);
    if ('why' in asked) return { done: false, ...asked };
    if (asked.size > size) largeUntil = taken + sizeOf(asked.size - 1);
    size = asked.size;
    const { body } = asked;
    const items = arrayAt(body, 'items').filter(isRecord);
    for (const item of items) reader.take(item);
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
  return { done: false, gone: false, why: 'the list has no end' };
}

/** @param index into `PAGE_SIZES` */
const sizeOf = (index: number): number => PAGE_SIZES[index] ?? 1;

interface Place {
  readonly from: string;
  /** Index into `PAGE_SIZES`. */
  readonly size: number;
}

type Page = { readonly body: JsonRecord; readonly size: number } | { readonly gone: boolean; readonly why: string };

async function askPage(
  api: ClusterApi,
  kind: Kind,
  { from, size: first }: Place,
  wait: (ms: number) => Promise<unknown>,
): Promise<Page> {
  for (let size = first; size < PAGE_SIZES.length; size += 1) {
    try {
      const answer = await patiently(() => api.get(pathOf(kind, from, sizeOf(size)), acceptOf(kind)), wait);
      return answer.status === 200 ? pageOf(kind, answer.body, size) : rejection(answer);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (error.reason === 'not_portcullis') return { gone: false, why: 'not served by this cluster' };
      if (error.reason !== 'answer_too_long') throw error;
    }
  }
  return { gone: false, why: 'an object of it is too large' };
}

function pathOf(kind: Kind, from: string, limit: number): string {
  const { path, query } = KINDS[kind];
  const next = from === '' ? '' : `continue=${encodeURIComponent(from)}`;
  return `${path}?${[`limit=${limit}`, query, next].filter((part) => part !== '').join('&')}`;
}

const acceptOf = (kind: Kind): string => (KINDS[kind].metadataOnly ? METADATA : WHOLE);

function pageOf(kind: Kind, body: JsonRecord, size: number): Page {
  // A server that does not know this form sends whole Secrets: those are not looked at.
  if (KINDS[kind].metadataOnly && stringAt(body, 'kind') !== 'PartialObjectMetadataList') {
    return { gone: false, why: 'the server does not send the metadata alone' };
  }
  return Array.isArray(body['items']) || body['items'] === null
    ? { body, size }
    : { gone: false, why: 'the answer is no list' };
}

const rejection = ({ status, body }: HttpAnswer): Page => ({
  gone: status === 410,
  why: `${status} ${plainText(stringAt(body, 'reason') ?? '', 60)}`.trim(),
});

/** A server that is busy for a moment is asked again. */
async function patiently(ask: () => Promise<HttpAnswer>, wait: (ms: number) => Promise<unknown>): Promise<HttpAnswer> {
  for (const ms of WAITS_MS) {
    const answer = await ask();
    if (!BUSY.has(answer.status)) return answer;
    await wait(ms);
  }
  return ask();
}
