/** Responses of this program itself, as a Kubernetes `Status`: clients in every language show its message. */

/** `reason` of a Status, with the HTTP code that belongs to it. */
const CODES = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  MethodNotAllowed: 405,
  TooManyRequests: 429,
  BadGateway: 502,
  ServiceUnavailable: 503,
} as const;

export type StatusReason = keyof typeof CODES;

export interface LocalResponse {
  readonly code: number;
  /** A flat list. It ends the connection: the rest of the request is not wanted. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** @param message for users; must hold no token */
export function localResponse(reason: StatusReason, message: string): LocalResponse {
  const code = CODES[reason];
  const fields = { status: 'Failure', message: `portcullis proxy: ${message}`, reason, code };
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, ...fields };
  const body = Buffer.from(`${JSON.stringify(status)}\n`);
  const type = ['Content-Type', 'application/json', 'Cache-Control', 'no-store'];
  return { code, headers: [...type, 'Content-Length', String(body.length), 'Connection', 'close'], body };
}
