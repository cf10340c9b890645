/** The operator's log: one JSON line each on stderr. The audit record is another thing, and has stdout for itself. */
import process from 'node:process';
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import { redact } from './redaction.ts';

/**
 * - `error`: something does not work and somebody must act; the line says what to do.
 * - `warn`: it works, but not as it should: a retry, a configuration that is risky, a dependency that was away.
 * - `info`: what an operator wants to read after the fact: start, stop, configuration in force, recovery. Nothing per request.
 * - `debug`: each request and each decision, for the hunt for a fault; not for a busy day.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type Logger = PinoLogger;

/** What a log reader that hangs may cost in memory; beyond it lines are lost. The audit record has its own rule. */
const BUFFER_BYTES = 4 * 1024 * 1024;
/** How deep the chain of `cause` is told. */
const MOST_CAUSES = 5;

/**
 * Makes the log. Every line passes `redact`, so no way of logging a value goes around it: fields, child fields, errors and text.
 * @param options.destination takes whole lines, each with its newline; stderr by default, which never waits for its reader
 */
export function createLogger(options: { readonly level: LogLevel; readonly destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError, error: describeError },
      hooks: { streamWrite: redactLine },
    },
    options.destination ?? stderrDestination(),
  );
}

/**
 * Node's own stderr rather than pino's writer: that one retries for ever at exit when the reader has gone (seen with sonic-boom 4.2
 * and a closed pipe: the process never ended), and a synchronous one would stop the whole gate with a reader that hangs.
 */
function stderrDestination(): DestinationStream {
  // Without a listener the EPIPE of a reader that went away would end the process.
  process.stderr.on('error', () => {});
  let lost = 0;
  return {
    write(line) {
      if (process.stderr.writableLength > BUFFER_BYTES) {
        lost += 1;
        return;
      }
      if (lost > 0) {
        const note = {
          level: 'warn',
          time: new Date().toISOString(),
          lost,
          msg: 'log lines were lost: stderr was not read',
        };
        process.stderr.write(`${JSON.stringify(note)}\n`);
        lost = 0;
      }
      process.stderr.write(line);
    },
  };
}

/**
 * What is told about an error: its name, text, codes, stack and causes. Never its other properties: libraries hang requests, responses and
 * bodies there, with tokens in them.
 */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    stack: error.stack,
    ...(error.cause === undefined || depth >= MOST_CAUSES ? {} : { cause: describeError(error.cause, depth + 1) }),
    ...(error instanceof AggregateError && depth < MOST_CAUSES
      ? { errors: error.errors.slice(0, MOST_CAUSES).map((inner) => describeError(inner, depth + 1)) }
      : {}),
  };
}

/** C1 controls drive terminals and U+2028/9 end lines for some readers; JSON leaves both as they are. */
const UNSAFE = /[\u007f-\u009f\u2028\u2029]/g;

function redactLine(line: string): string {
  let clean: unknown;
  try {
    clean = redact(JSON.parse(line));
  } catch {
    // Fail closed: a line that cannot be read cannot be cleaned.
    clean = { level: 'error', msg: 'a log line was dropped because it could not be redacted' };
  }
  const json = JSON.stringify(clean);
  return `${json.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}
