/**
 * Node's `http` without its form as an ES module: to import that reads every export, of which some load undici, and that
 * was a fifth of what a command takes.
 * @see https://nodejs.org/api/process.html#processgetbuiltinmoduleid
 */
export const { createServer, request } = process.getBuiltinModule('node:http');
