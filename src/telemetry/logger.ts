/**
 * The operator's log: one JSON line per message on stderr. The audit log is separate, and is the only thing on
 * stdout.
 */
import process from 'node:process';
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import { redact } from './redaction.ts';

/**
 * - `error`: something does not work and an operator must act; the message says what to do.
 * - `warn`: it works, but not as it should: a retry, a risky configuration, a dependency that was unavailable.
 * - `info`: what an operator wants to read afterwards: start, stop, configuration in force, recovery. Nothing per
 *   request.
 * - `debug`: each request and each decision, for debugging; too much for a busy day.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type Logger = PinoLogger;

/** Memory that a hanging log reader may cost; beyond it lines are lost. The audit log has its own rule. */
const BUFFER_BYTES = 4 * 1024 * 1024;
/** How many levels of `cause` are logged. */
const MAX_CAUSES = 5;

/**
 * Creates the logger. Every line passes `redact`, so no way of logging a value bypasses it: fields, child fields,
 * errors and text.
 * @param options.destination receives whole lines, each with its newline; stderr by default, which never waits for
 * its reader
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
 * Uses Node's own stderr instead of pino's writer. The latter retries forever at exit when the reader has gone
 * (seen with sonic-boom 4.2 and a closed pipe: the process never ended), and a synchronous one would block the
 * whole server with a hanging reader.
 */
function stderrDestination(): DestinationStream {
  // Without a listener the EPIPE of a reader that has exited would end the process.
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

/** An identity provider's text about an error (RFC 6749 §5.2) is outside input: it is bounded, and kept on one line. */
const MAX_ERROR_TEXT = 256;
const CONTROLS = /\p{C}+/gu;

/**
 * Returns what is logged about an error: its name, text, codes, stack and causes. Never its other properties:
 * libraries attach requests, responses and bodies there, with tokens in them.
 */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return depth === 0 ? error : describeCause(error);
  const { code, reason, status } = error as { code?: unknown; reason?: unknown; status?: unknown };
  const oauthError = error as { error?: unknown; error_description?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof status === 'number' ? { status } : {}),
    ...(typeof oauthError.error === 'string' ? { error: bounded(oauthError.error) } : {}),
    ...(typeof oauthError.error_description === 'string'
      ? { error_description: bounded(oauthError.error_description) }
      : {}),
    stack: error.stack,
    ...(error.cause === undefined || depth >= MAX_CAUSES ? {} : { cause: describeError(error.cause, depth + 1) }),
    ...(error instanceof AggregateError && depth < MAX_CAUSES
      ? { errors: error.errors.slice(0, MAX_CAUSES).map((inner) => describeError(inner, depth + 1)) }
      : {}),
  };
}

const bounded = (text: string): string => text.replaceAll(CONTROLS, ' ').slice(0, MAX_ERROR_TEXT);

/**
 * A cause that is no error: a body, a response, the parameters of a callback. Serialized it would be either `{}`
 * or all of the outside input, so only its type is logged.
 */
function describeCause(cause: unknown): unknown {
  if (typeof cause === 'string') return bounded(cause);
  return typeof cause === 'object' && cause !== null ? `[${cause.constructor?.name ?? 'object'}]` : typeof cause;
}

/** C1 controls drive terminals and U+2028/9 end lines for some readers; JSON leaves both as they are. */
const UNSAFE = /[\u007f-\u009f\u2028\u2029]/g;

function redactLine(line: string): string {
  let clean: unknown;
  try {
    clean = redact(JSON.parse(line));
  } catch {
    // Fail closed: a line that cannot be parsed cannot be redacted.
    clean = { level: 'error', msg: 'a log line was dropped because it could not be redacted' };
  }
  const json = JSON.stringify(clean);
  return `${json.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}
