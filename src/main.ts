#!/usr/bin/env node
/**
 * The command `portcullis`. kubectl runs it before almost every request, and almost always the response is a cached
 * credential, so that path loads next to nothing. Everything else goes through the parser.
 */
import { respondFromCache } from './cli/cli.ts';

if (!respondFromCache(process.argv.slice(2))) {
  const { createProgram } = await import('./program.ts');
  await createProgram(process.env).parseAsync();
}
