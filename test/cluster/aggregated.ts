/** In place of the controller manager, which gathers the rules of `edit` and `view` from the roles that belong to them. */
import type { PageShell } from '../support/page-shell.ts';

const PARTS = { view: ['view'], edit: ['edit', 'view'] };

/** @param admin with an administrator's credential */
export async function gatherRoles(admin: PageShell): Promise<void> {
  for (const [role, parts] of Object.entries(PARTS)) {
    const rules: object[] = [];
    for (const part of parts) {
      const found = await admin.run(`kubectl get clusterrole system:aggregate-to-${part} -o json`);
      rules.push(...(JSON.parse(found) as { readonly rules: object[] }).rules);
    }
    await admin.run(`kubectl patch clusterrole ${role} --type merge -p '${JSON.stringify({ rules })}'`);
  }
}
