import { describe, expect, test } from 'vitest';
import {
  firstRejection,
  SERVICE_ACCOUNT_CHECKS,
  USER_CHECKS,
  type Check,
  type CheckParts,
} from '../../../../src/proxy/admission/checks.ts';
import type { UserQuestion } from '../../../../src/proxy/admission/request-question.ts';
import { draining, fenced } from '../../../../src/proxy/rejections.ts';
import type { Rejection } from '../../../../src/proxy/status.ts';
import { readPage } from '../../docs/markdown.ts';

test('docs/architecture.md lists the promise of each check, in the order in which a request meets them', () => {
  const [, section = ''] = /^### Checks\n(.*?)^## /ms.exec(readPage('docs/architecture.md')) ?? [];
  const listed = [...section.matchAll(/^\d\. (.+)$/gm)].map(([, promise]) => promise);
  expect(listed).toEqual([...USER_CHECKS, ...SERVICE_ACCOUNT_CHECKS].map(({ promise }) => promise));
});

describe('the first rejection', () => {
  const judged = (results: readonly (Rejection | undefined | Promise<Rejection | undefined>)[]) => {
    const asked: number[] = [];
    const checks = results.map((result, index): Check<UserQuestion> => ({
      promise: '',
      judge: () => {
        asked.push(index);
        return result;
      },
    }));
    return { asked, found: firstRejection(checks, {} as UserQuestion, {} as CheckParts) };
  };

  test('is there in the same tick, and no check that follows is made', () => {
    const { asked, found } = judged([undefined, fenced(), draining()]);
    expect(found).toEqual(fenced());
    expect(asked).toEqual([0, 1]);
  });

  test('is none only once every check has let it pass', () => {
    const { asked, found } = judged([undefined, undefined]);
    expect(found).toBeUndefined();
    expect(asked).toEqual([0, 1]);
  });

  test.each([
    ['of a check that waits', [undefined, Promise.resolve(fenced()), draining()], fenced(), 2],
    ['of a check behind one that waits', [Promise.resolve(undefined), undefined, fenced()], fenced(), 3],
    ['of none behind one that waits', [Promise.resolve(undefined), undefined], undefined, 2],
  ])('is that %s', async (_what, results, rejection, made) => {
    const { asked, found } = judged(results);
    expect(await found).toEqual(rejection);
    expect(asked).toHaveLength(made);
  });

  test('is never missing because a check could not be made', async () => {
    await expect(judged([Promise.reject(new Error('no response')), undefined]).found).rejects.toThrow('no response');
  });
});
