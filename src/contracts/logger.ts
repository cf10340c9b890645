/** Structured logging as pino has it: the fields first, then a fixed phrase. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
