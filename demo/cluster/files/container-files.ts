/** Which container has which files, for as long as its pod is there. */
import type { KubeObject } from '../objects/kube-object.ts';
import { PODS } from '../resources.ts';
import type { Storage } from '../storage/storage.ts';
import { FileSystem } from './file-system.ts';

export class ContainerFiles {
  /** By the pod's uid, then by the container's name. A later pod of the same name starts with none. */
  readonly #pods = new Map<string, Map<string, FileSystem>>();

  constructor(storage: Storage) {
    storage.subscribe(PODS, Number(storage.resourceVersion), ({ type, object }) => {
      if (type === 'DELETED') this.#pods.delete(object.metadata.uid ?? '');
    });
  }

  of(pod: KubeObject, container: string): FileSystem {
    const uid = pod.metadata.uid ?? '';
    const containers = this.#pods.get(uid) ?? new Map<string, FileSystem>();
    this.#pods.set(uid, containers);
    const files = containers.get(container) ?? born(pod);
    containers.set(container, files);
    return files;
  }
}

const born = (pod: KubeObject): FileSystem =>
  new FileSystem({
    '/etc/hostname': `${pod.metadata.name ?? ''}\n`,
    '/etc/hosts': '127.0.0.1\tlocalhost\n',
    '/etc/os-release': 'NAME="Portcullis demo container"\nID=demo\n',
  });
