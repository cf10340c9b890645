/** What the demo prints once it runs. */
import { relative } from 'node:path';
import type { RunningDemo } from './launch.ts';

export interface WelcomeFacts {
  readonly cluster: Pick<RunningDemo['cluster'], 'description'>;
  readonly files: Pick<RunningDemo['files'], 'directory' | 'kubeconfig' | 'command' | 'auditLog'>;
  readonly urls: Pick<RunningDemo['urls'], 'web' | 'ops'>;
}

/** Returns what to type and where to click, in lines for a terminal of 80 columns. */
export function welcome({ cluster, files, urls }: WelcomeFacts): string {
  const at = (path: string): string => relative(process.cwd(), path);
  return `
Portcullis is up, in front of ${cluster.description}.

  1. In another terminal:
       export KUBECONFIG=$PWD/${at(files.kubeconfig)}
       kubectl get pods
     A browser opens. Sign in as  alice / alice-demo.
     (No browser here? kubectl waits at the address that it prints. So does
     ${at(files.command)} login.)

  2. Leave something open:
       kubectl get pods --watch

  3. Revoke her session: in a private window open  ${urls.web}/admin
     Sign in as  root / root-demo,  and end alice's sessions.
     Look at the terminal of step 2.
     (vera / vera-demo  is an auditor: she sees the same, and changes nothing.)

  Users:      ${at(files.directory)}/users.txt
  Audit log:  ${at(files.auditLog)}
  Metrics:    ${urls.ops}/metrics
  The whole story by itself:  npm run demo -- --tour
  Lessons to do yourself:     docs/training

Ctrl-C stops everything.`;
}
