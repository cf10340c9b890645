/** A service as its callers at an edge have it: what it rejects is thrown, as the error of its catalogue. */
import type { Catalogue, RejectionOf, Texts } from '../../src/core/api/rejections.ts';
import type { Result } from '../../src/core/result.ts';
import { passed } from '../../src/http/problem.ts';

type AtEdge<S> = {
  readonly [N in keyof S]: S[N] extends (...given: infer A) => Promise<Result<infer T, infer _R>>
    ? (...given: A) => Promise<T>
    : S[N];
};

const isResult = (value: unknown): value is Result<unknown, never> =>
  typeof value === 'object' && value !== null && 'ok' in value;

export function atEdge<S extends object, T extends Texts>(catalogue: Catalogue<T>, service: S): AtEdge<S> {
  const methods = Object.entries(service as Readonly<Record<string, (...given: unknown[]) => unknown>>);
  return Object.fromEntries(
    methods.map(([name, method]) => [
      name,
      (...given: unknown[]) => {
        const done = method(...given);
        if (!(done instanceof Promise)) return done;
        return done.then((value) =>
          isResult(value) ? passed(catalogue, value as Result<unknown, RejectionOf<T>>) : value,
        );
      },
    ]),
  ) as AtEdge<S>;
}
