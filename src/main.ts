#!/usr/bin/env node
/**
 * The command `portcullis`. kubectl runs it before almost every request, and almost always the response is a cached
 * credential, so that path loads next to nothing. Everything else goes through the parser.
 */
import { respondFromCache } from './cli/cli.ts';

const args = process.argv.slice(2);
if (!respondFromCache(args)) {
  const { createProgram } = await import('./program.ts');
  const program = await createProgram(process.env, args[0]);
  await program.parseAsync();
}
