/**
 * Loaded before anything else (`node --import`), it makes minutes of waiting seconds: timers of a minute and more end after a hundredth of it.
 * The network and the shorter timers take the time that they take.
 */
const MINUTE_MS = 60_000;

globalThis.setTimeout = new Proxy(globalThis.setTimeout, {
  apply: (target, self, [callback, ms, ...rest]: [unknown, number, ...unknown[]]): unknown =>
    Reflect.apply(target, self, [callback, ms >= MINUTE_MS ? ms / 100 : ms, ...rest]),
});
