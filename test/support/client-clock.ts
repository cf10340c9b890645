/**
 * Loaded before anything else (`node --import`), it makes a client's clock faster than the server's: `CLIENT_CLOCK=ORIGIN,FACTOR`,
 * milliseconds since the epoch and a number; of 0, it stands. Only the calendar runs fast; timers and the network take the time that they take.
 */
const [origin = 0, factor = 1] = (process.env['CLIENT_CLOCK'] ?? '').split(',').map(Number);
const RealDate = Date;
const now = (): number => Math.floor(origin + (RealDate.now() - origin) * factor);

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: []) => (args.length === 0 ? new target(now()) : new target(...args)),
  get: (target, key, receiver): unknown => (key === 'now' ? now : Reflect.get(target, key, receiver)),
});
