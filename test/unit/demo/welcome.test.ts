import { expect, test } from 'vitest';
import { DEFAULT_DIRECTORY } from '../../../demo/demo.ts';
import { welcome } from '../../../demo/welcome.ts';

test('what the demo prints first fits a terminal of 80 columns', () => {
  const files = (name: string): string => `${process.cwd()}/${DEFAULT_DIRECTORY}/${name}`;
  const text = welcome({
    cluster: { description: 'the embedded cluster' },
    files: {
      directory: files(''),
      kubeconfig: files('kubeconfig'),
      command: files('bin/portcullis'),
      auditLog: files('audit.log'),
    },
    urls: { web: 'http://localhost:7444', ops: 'http://localhost:7445' },
  });
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect(text).toContain(`${DEFAULT_DIRECTORY}/bin/portcullis login`);
});
