/**
 * The list of sessions as its URL has it. What is shown is nowhere but there, so that it can be kept, sent to somebody and gone back to.
 */
import type { Request } from 'express';
import { parameter } from '../page/response.ts';
import { listQuery, type SessionQuery } from '../../admin/session-query.ts';
import { queryString } from './links.ts';

const NAMES = ['search', 'provider', 'cluster', 'idle', 'sort', 'cursor'] as const;

type Name = (typeof NAMES)[number];

/** What the URL says, as it says it; empty and repeated parameters are not in it. */
export type Shown = { readonly [N in Name]?: string };

/** So that a page stays light, names and all: a row is about a kilobyte. */
export const PAGE_SIZE = 25;

export function shownBy(req: Request): Shown {
  const said = NAMES.map((name) => [name, parameter(req.query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(said.filter(([, value]) => value !== ''));
}

/** @throws AppError `bad_request` for what the admin API would refuse too */
export const queryFor = (shown: Shown): SessionQuery => listQuery({ ...shown, limit: PAGE_SIZE });

/** The same list but for what changes. Whoever asks for other sessions begins at the first page. */
export const listHref = (shown: Shown, change: { readonly [N in Name]?: string }): string =>
  `/admin${queryString({ ...shown, cursor: '', ...change })}`;
