/**
 * `/admin/drill`: the form, and the result of a drill.
 */
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';
import { reasonField } from './form-fields.ts';
import type { DrillResult } from '../../services/admin/admin.ts';
import { receiptHref, queryString } from './links.ts';
import { countOf, formatMs } from './format.ts';
import { fieldErrors } from '../../core/api/issues.ts';
import { drillSchema } from '../../core/api/requests.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { passed } from '../../http/problem.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import { field } from '../browser/guards.ts';
import { textField, tied, type FieldErrors } from '../page/field.ts';
import { parameter } from '../page/response.ts';
import { table, type Column } from '../page/table.ts';
import { adminContextAt, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { whenFresh } from './fresh-page.ts';

const intro = (): Html =>
  html`<h1>Drill</h1>
    <p class="lead">
      A drill practises a complete revocation on a session that exists only for it: every replica opens a watch for that
      session, the session is revoked, and each replica must report that its watch was cut. It affects no user.
    </p>`;

interface DrillForm {
  /** The clusters that the admin may use. */
  readonly clusters: readonly string[];
  readonly cluster: string;
  readonly path: string;
  readonly reason?: string;
  readonly errors?: FieldErrors;
  readonly csrf: string;
}

const option = (name: string, chosen: string): Html =>
  name === chosen ? html`<option selected>${name}</option>` : html`<option>${name}</option>`;

function form({ clusters, cluster, path, reason, errors = {}, csrf }: DrillForm): Html {
  if (clusters.length === 0) {
    return html`<p class="empty">
      You may use no cluster, and a drill acts with your rights. Ask an admin who may use one.
    </p>`;
  }
  const [attributes, texts] = tied({ name: 'cluster' }, errors);
  return html`<form class="stack measure" method="post" action="/admin/drill">
    ${csrfField(csrf)}
    <div class="field">
      <label for="cluster">Cluster</label>
      <select id="cluster" name="cluster" ${attributes}>
        ${clusters.map((name) => option(name, cluster))}
      </select>
      ${texts}
    </div>
    ${textField({
      name: 'path',
      label: 'Watch path',
      value: path,
      required: true,
      hint: 'The path of a watch that you may open, with watch=1.',
      errors,
    })}
    ${reasonField('monthly drill', reason, errors)}
    <div><button class="button">Run the drill</button></div>
  </form>`;
}

/**
 * Returns the page with the form.
 * @param drill undefined for an auditor
 */
function drillBody(drill: DrillForm | undefined): Html {
  return html`${intro()}
    <section class="card" aria-labelledby="run">
      <h2 id="run">Run a drill</h2>
      ${
        drill === undefined
          ? html`<p>Only admins run drills. Each drill is in the audit log, with its verdict.</p>`
          : form(drill)
      }
    </section>`;
}

const REPLICAS: readonly Column<DrillResult['replicas'][number]>[] = [
  { heading: 'Replica', kind: 'main', cell: ({ id }) => id },
  { heading: 'Watch', cell: ({ opened }) => (opened ? 'opened' : 'not opened') },
  {
    heading: 'Result',
    cell: ({ cut, reason }) =>
      html`<span
        >${cut ? html`<span class="state ok">cut</span>` : html`<span class="state bad">not cut</span>`}${
          reason !== undefined && html`<br /><span class="small">${reason}</span>`
        }</span
      >`,
  },
  { heading: 'After', cell: ({ ms }) => (ms === undefined ? '–' : formatMs(ms)) },
];

function drillResultBody({ verdict, replicas, receipt }: DrillResult): Html {
  const passed = replicas.filter(({ cut }) => cut).length;
  const message =
    verdict === 'passed'
      ? html`<div class="notice ok" role="status">
          <p><strong>Passed.</strong> ${countOf(passed, 'replica has', 'replicas have')} opened a watch and cut it.</p>
        </div>`
      : html`<div class="notice bad" role="alert">
          <p>
            <strong>Failed.</strong> ${passed} of ${countOf(replicas.length, 'replica')} cut a
            watch${!receipt.complete && ', and the revocation is not proven yet'}. The results are below and in the
            audit log.
          </p>
        </div>`;
  return html`<h1>Drill ${verdict}</h1>
    ${message}
    <section class="card" aria-labelledby="parts">
      <h2 id="parts">By replica</h2>
      ${table({ columns: REPLICAS, rows: replicas })}
    </section>
    <div class="row">
      <a class="button" href="/admin/drill">Another drill</a>
      <a class="button quiet" href="${receiptHref(receipt.id)}">Receipt of its revocation</a>
    </div>`;
}

const DEFAULT_PATH = '/api/v1/namespaces?watch=1';

export function showDrill(context: AdminPageContext): void {
  const { req, mayAct } = context;
  const [cluster, path] = [parameter(req.query['cluster']) ?? '', parameter(req.query['path']) ?? DEFAULT_PATH];
  const form = { ...clustersFor(context), cluster, path };
  sendAdminPage(context, { title: 'Drill', body: drillBody(mayAct ? form : undefined) });
}

const clustersFor = ({ service, user }: AdminPageContext): Pick<DrillForm, 'clusters' | 'csrf'> => ({
  clusters: service.clusters.usableBy(user.identity).map(({ name }) => name),
  csrf: user.csrf,
});

/**
 * Runs a drill, which takes seconds, and shows its result.
 * @throws the errors of the drill
 */
export async function handleDrill(context: AdminPageContext): Promise<void> {
  const { service, req } = context;
  const [cluster, path, reason] = [field(req, 'cluster'), field(req, 'path'), field(req, 'reason')];
  const chosen = Object.entries({ cluster, path }).filter(([, value]) => value !== '');
  const sent = { ...Object.fromEntries(chosen), reason };
  const asked = drillSchema.safeParse(sent);
  if (!asked.success) {
    const wrong = { event: 'drill', path: req.path, code: 400, reason: 'request_malformed' } as const;
    record(context.deps, contextOf(req), wrong);
    const errors = fieldErrors(drillSchema, sent);
    const body = drillBody({ ...clustersFor(context), cluster, path, reason, errors });
    return sendAdminPage(context, { title: 'Drill', status: 400, body });
  }
  await whenFresh(context, `/admin/drill${queryString({ cluster, path })}`, async () => {
    const result = passed(ADMIN, await service.runDrill(adminContextAt(context), asked.data));
    sendAdminPage(context, { title: `Drill ${result.verdict}`, body: drillResultBody(result) });
  });
}
