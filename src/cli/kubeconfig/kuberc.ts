/**
 * kubectl's own list of the credential plugins that a kubeconfig may start (kubectl 1.35, `~/.kube/kuberc`).
 * @see https://kubernetes.io/docs/reference/kubectl/kuberc/#credential-plugin-policy
 */
import { isMap, parseDocument, stringify } from 'yaml';
import { arrayAt, isRecord, recordAt, stringAt } from '../http/json-shape.ts';
import { plainText } from '../terminal/plain-text.ts';

/** Returns the commands of the plugins that a kubeconfig starts, each once; none for a text that is no kubeconfig. */
export function pluginCommands(text: string): readonly string[] {
  const document = parseDocument(text);
  const root: unknown = isMap(document.contents) && document.errors.length === 0 ? document.toJS() : undefined;
  const users = isRecord(root) ? arrayAt(root, 'users') : [];
  const commands = users.flatMap((item) => {
    const exec = isRecord(item) ? recordAt(recordAt(item, 'user') ?? {}, 'exec') : undefined;
    return stringAt(exec ?? {}, 'command') ?? [];
  });
  return [...new Set(commands)];
}

/**
 * Returns a kuberc that lets kubectl start our command alone. `name` is what 1.35 reads, and 1.36 as well beside its own `command`;
 * 1.35 rejects an entry that has only the latter.
 * @param others commands that kubeconfigs of this user start: as comments, because only the user knows which of them are wanted
 */
export function kubercText(command: string, others: readonly string[]): string {
  const entry = (name: string): string => `  - name: ${stringify(plainText(name), { lineWidth: 0 }).trimEnd()}\n`;
  const rest = others.map((other) => `# ${entry(other).replaceAll('\n', ' ').trimEnd()}\n`).join('');
  return [
    '# kubectl 1.35 and newer: in ~/.kube/kuberc (%USERPROFILE%\\.kube\\kuberc on Windows)\n',
    'apiVersion: kubectl.config.k8s.io/v1beta1\n',
    'kind: Preference\n',
    'credentialPluginPolicy: Allowlist\n',
    'credentialPluginAllowlist:\n',
    entry(command),
    rest === '' ? '' : '# Your kubeconfig starts these as well. Allow those that you know:\n',
    rest,
  ].join('');
}
