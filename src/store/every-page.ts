/** Lists that are read to their end. */
import { defined } from '../core/defined.ts';

interface Cursor {
  readonly cursor?: string;
}

/** Yields the pages of a list one after the other, each as it is when it is asked for. */
export async function* everyPage<Q extends Cursor, P extends Cursor>(
  store: { list(query: Q): Promise<P> },
  query: Q,
): AsyncGenerator<P> {
  let cursor: string | undefined;
  do {
    const page = await store.list({ ...query, ...defined({ cursor }) });
    yield page;
    ({ cursor } = page);
  } while (cursor !== undefined);
}
