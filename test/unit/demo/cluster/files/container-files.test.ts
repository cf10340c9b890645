import { describe, expect, it } from 'vitest';

import { ContainerFiles } from '../../../../../demo/cluster/files/container-files.ts';
import type { KubeObject } from '../../../../../demo/cluster/objects/kube-object.ts';
import { PODS } from '../../../../../demo/cluster/resources.ts';
import { createStorage } from '../../../../../demo/cluster/storage/storage.ts';

const pod = (): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-1', namespace: 'default' },
  spec: {},
});

describe('files of containers', () => {
  it('are kept from one exec to the next, apart for each container', () => {
    const storage = createStorage(() => new Date(0));
    const files = new ContainerFiles(storage);
    const created = storage.create(PODS, pod());
    files.of(created, 'web').write('/tmp/f', Buffer.from('x'));
    expect(files.of(created, 'web').read('/tmp/f')?.toString()).toBe('x');
    expect(files.of(created, 'sidecar').read('/tmp/f')).toBeUndefined();
    expect(files.of(created, 'web').read('/etc/hostname')?.toString()).toBe('web-1\n');
  });

  it('go with the pod: one of the same name starts without them', () => {
    const storage = createStorage(() => new Date(0));
    const files = new ContainerFiles(storage);
    const first = storage.create(PODS, pod());
    files.of(first, 'web').write('/tmp/f', Buffer.from('x'));
    storage.remove(PODS, 'default', 'web-1');
    expect(files.of(first, 'web').read('/tmp/f')).toBeUndefined();
    expect(files.of(storage.create(PODS, pod()), 'web').read('/tmp/f')).toBeUndefined();
  });
});
