/**
 * `/admin/drill`: the form, and running one.
 */
import { drillSchema } from '../../core/admin-api/requests.ts';
import { AppError } from '../../core/errors.ts';
import { field } from '../browser/guards.ts';
import { parameter } from '../page/response.ts';
import { findings } from '../../admin/session-query.ts';
import { adminContextAt, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { drillBody, drillResultBody } from './drill-body.ts';
import { ifFresh } from './fresh-page.ts';
import { queryString } from './links.ts';

const DEFAULT_PATH = '/api/v1/namespaces?watch=1';

export function showDrill(context: AdminPageContext): void {
  const { service, req, person, mayAct } = context;
  const form = {
    clusters: service.clusters.usableBy(person.identity).map(({ name }) => name),
    cluster: parameter(req.query['cluster']) ?? '',
    path: parameter(req.query['path']) ?? DEFAULT_PATH,
    csrf: person.csrf,
  };
  sendAdminPage(context, { title: 'Drill', section: 'drill', body: drillBody(mayAct ? form : undefined) });
}

/** Runs it and shows what came of it: within seconds. @throws what the drill throws, AppError `bad_request` */
export async function runDrillHere(context: AdminPageContext): Promise<void> {
  const { service, req } = context;
  const [cluster, path, reason] = [field(req, 'cluster'), field(req, 'path'), field(req, 'reason')];
  const chosen = Object.entries({ cluster, path }).filter(([, value]) => value !== '');
  const parsed = drillSchema.safeParse({ ...Object.fromEntries(chosen), reason });
  if (!parsed.success) {
    const words = `This drill cannot be run: ${findings(parsed.error)}.`;
    throw new AppError('bad_request', words, { reason: 'request_malformed' });
  }
  await ifFresh(context, `/admin/drill${queryString({ cluster, path })}`, async () => {
    const answer = await service.runDrill(adminContextAt(context), parsed.data);
    sendAdminPage(context, { title: `Drill ${answer.verdict}`, section: 'drill', body: drillResultBody(answer) });
  });
}
