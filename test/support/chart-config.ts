/** The configuration that a rendered chart gives the server, loaded as in its pod: with the files that are mounted there, and no others. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { loadConfig } from '../../src/config/load.ts';
import { temporaryDirectory } from '../unit/config/sandbox.ts';
import { mountedFiles, podTemplateOf } from './chart-pods.ts';
import { only, type KubernetesObject } from './chart.ts';
import { newCertificate } from './client-keys.ts';

const CONFIG = '/etc/portcullis/portcullis.yaml';

/**
 * @param extra files of Secrets that the chart mounts whole, without knowing what they hold
 * @throws Error where the pod does not start with the file that is mounted
 */
export async function loadAsDeployed(
  objects: readonly KubernetesObject[],
  { extra = [] }: { readonly extra?: readonly string[] } = {},
): ReturnType<typeof loadConfig> {
  const { spec } = podTemplateOf(only(objects, 'Deployment'));
  const [container] = spec.containers;
  if (container?.args?.join(' ') !== `serve --config ${CONFIG}`) throw new Error('starts with another configuration');
  const mounted = mountedFiles(spec, container);
  if (!mounted.includes(CONFIG)) throw new Error(`${CONFIG} is not mounted`);
  const root = temporaryDirectory();
  const { cert, key } = await newCertificate('CN=portcullis');
  const held = new Map([
    ['client.key', key],
    ['client.crt', cert],
  ]);
  for (const file of [...mounted, ...extra]) put(join(root, file), held.get(basename(file)));
  const { 'portcullis.yaml': text = '' } = only(objects, 'ConfigMap', 'portcullis')['data'] as Record<string, string>;
  writeFileSync(join(root, CONFIG), text.replaceAll(/(?<=: )\/(?=etc\/|var\/)/g, `${root}/`));
  return loadConfig({ file: join(root, CONFIG), env: {} });
}

/** @param path of a file, or with a slash at its end of a folder */
function put(path: string, content = 'content\n'): void {
  const folder = path.endsWith('/');
  mkdirSync(folder ? path : dirname(path), { recursive: true });
  if (!folder) writeFileSync(path, content);
}
