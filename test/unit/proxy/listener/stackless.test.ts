import { expect, test } from 'vitest';
import { withoutStacks } from '../../../../src/proxy/listener/stackless.ts';

test('errors made within have a message and no frames', () => {
  let made: Error | undefined;
  withoutStacks(() => {
    made = new Error('reset');
  });
  expect(made?.stack).toBe('Error: reset');
});

test('errors made afterwards have their stack, also if the work threw', () => {
  const limit = Error.stackTraceLimit;
  const work = (): void => {
    throw new Error('reset');
  };
  expect(() => withoutStacks(work)).toThrow('reset');
  expect(Error.stackTraceLimit).toBe(limit);
  expect(new Error('later').stack).toContain('stackless.test.ts');
});
