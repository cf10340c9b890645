/**
 * Steps that wait only if they have to. What is cached is there in the same tick, where an `await` of it would cost a
 * turn of the microtask queue and the objects that go with it, several times in each request.
 */
export type Awaitable<T> = T | Promise<T>;

/** Runs the step with the value, immediately if the value is there. What the step throws is thrown, or rejects. */
export function andThen<T, U>(value: Awaitable<T>, step: (value: T) => Awaitable<U>): Awaitable<U> {
  return value instanceof Promise ? value.then(step) : step(value);
}

/** Runs the work. If it throws or rejects, the result is that of `recover`. */
export function orElse<T>(work: () => Awaitable<T>, recover: (error: unknown) => T): Awaitable<T> {
  try {
    const value = work();
    return value instanceof Promise ? value.catch(recover) : value;
  } catch (error) {
    return recover(error);
  }
}
