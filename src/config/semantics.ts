/**
 * Checks of several settings together: settings that contradict each other, names given twice, expressions that do
 * not compile.
 *
 * Most checks read the document itself and use only what has the right type, so that an error elsewhere in a
 * section hides none of these; the schema reports wrong types.
 */
import { checkAccess } from './access.ts';
import { checkAudit } from './audit.ts';
import { checkCluster, checkConsoles, checkHosts } from './clusters.ts';
import { checkDelegation } from './delegation.ts';
import { checkDelegationClients } from './delegation-clients.ts';
import { items, textAt, type ValidationErrors } from './document.ts';
import { checkFreshness } from './freshness.ts';
import { checkListen } from './listen.ts';
import { checkProvider } from './providers.ts';
import { checkPublicClients } from './public-clients.ts';
import type { Sections } from './parse.ts';
import { checkSessions } from './sessions.ts';
import { checkStepUp } from './step-up.ts';
import { checkStore } from './store.ts';
import { checkWorkload } from './workload.ts';

export function checkSemantics(
  root: Readonly<Record<string, unknown>>,
  sections: Sections,
  errors: ValidationErrors,
): void {
  checkStore(root, errors);
  checkListen(root, sections.listen, errors);
  checkSessions(sections.sessions, errors);
  checkPublicClients(root, errors);
  checkDelegation(root, sections, errors);
  checkAccess(root, errors);
  checkStepUp(root, errors);
  checkDelegationClients(root, errors);
  checkAudit(root, errors);
  checkUnique(root, 'providers', errors);
  checkUnique(root, 'clusters', errors);
  checkHosts(root, errors);
  checkUnique(root, 'consoles', errors);
  checkConsoles(root, errors);
  checkUnique(root, 'workload', errors);
  checkWorkload(root, errors);
  items(root, 'providers').forEach((provider, index) => checkProvider(provider, ['providers', index], errors));
  checkFreshness(root, errors);
  items(root, 'clusters').forEach((cluster, index) => checkCluster(cluster, ['clusters', index], errors));
}

function checkUnique(root: unknown, list: string, errors: ValidationErrors): void {
  const names = items(root, list).map((item) => textAt(item, 'name'));
  names.forEach((name, index) => {
    if (name !== undefined && names.indexOf(name) < index) {
      errors.add([list, index, 'name'], `a name of its own: ${list}[${names.indexOf(name)}] has this one`);
    }
  });
}
