/**
 * What one request may cost: every operation, page and endpoint with its worst permitted input. The page
 * docs/request-costs.md is made from it, and `test/security/cost.test.ts` measures it.
 */
import { ADMIN_ROWS } from './admin-rows.ts';
import { CLUSTER_ROWS, OPS_ROWS } from './cluster-rows.ts';
import { PAGE_ROWS } from './page-rows.ts';
import { PROGRAM_ROWS } from './own-rows.ts';
import type { CostRow } from './row.ts';

export const SURFACES: readonly { readonly title: string; readonly rows: readonly CostRow[] }[] = [
  { title: 'Requests to clusters', rows: CLUSTER_ROWS },
  { title: 'Own sessions and OAuth', rows: PROGRAM_ROWS },
  { title: 'Pages and web consoles', rows: PAGE_ROWS },
  { title: 'Admin API', rows: ADMIN_ROWS },
  { title: 'Ops listener', rows: OPS_ROWS },
];

export const ROWS: readonly CostRow[] = SURFACES.flatMap(({ rows }) => rows);
