/**
 * What a program of this project is given of this environment where a test gives it one of its own: where programs are, and where Node keeps what it
 * has compiled (vitest.config.ts).
 */
export function bareEnvironment(): Record<string, string> {
  const compiled = process.env['NODE_COMPILE_CACHE'];
  return { PATH: process.env['PATH'] ?? '', ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }) };
}
