/** What an agent does with a delegated session, by the commands that a user would type. */
import type { Terminal } from '../../demo/tour/terminal.ts';
import type { Stage } from './stage.ts';

/**
 * Hands a narrower session to an agent.
 * @returns lets the agent do what it may, and try what it may not
 */
export async function delegate(terminal: Terminal, { demo }: Stage): Promise<() => Promise<void>> {
  const kubeconfig = `${demo.files.directory}/claude.yaml`;
  const options = [
    '--command',
    demo.files.command,
    '--read-only',
    '--namespace',
    'default',
    '--for',
    '2h',
    '--name',
    'claude',
    '--kubeconfig',
    kubeconfig,
  ];
  const { code, stderr } = await terminal.portcullis('delegate', ...options);
  if (code !== 0) throw new Error(`nothing was delegated: ${stderr}`);
  return async () => {
    const read = await terminal.kubectl('--kubeconfig', kubeconfig, 'get', 'pods', '--namespace', 'default');
    if (read.code !== 0) throw new Error(`the agent cannot read: ${read.stderr}`);
    await terminal.kubectl('--kubeconfig', kubeconfig, 'delete', 'pod', 'web-1', '--namespace', 'default');
  };
}
