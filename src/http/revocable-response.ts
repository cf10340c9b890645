/**
 * Responses to users whose credential may be revoked before they have taken all of it.
 *
 * An auditor, or a thief with their session, asks for the audit log and reads it slowly. The credential is
 * checked before the first byte, and the rest would follow for minutes after a revocation that was `complete`. So the
 * rest is a flight of the credential: the revocation resets it, and counts it.
 */
import type { IncomingMessage } from 'node:http';
import type { Response } from 'express';
import type { FlightCredential } from '../core/credential/credential.ts';
import { resetConnection } from '../core/http/connection-reset.ts';
import { whenOver } from '../core/http/response-over.ts';
import { actorOf, isValid, type Actor } from './request-context.ts';

/** When the session ends by itself. Epoch seconds. */
interface Ends {
  readonly expiresAt: number;
  readonly idleAt: number;
}

/** The part of the revocation guard that takes flights. */
export interface FlightGuard {
  register(flight: { cut(): void }): { bind(credential: FlightCredential, ends: Ends): void; close(): void };
}

/** Returns `Actor.register` of a credential. */
export function registerFor(guard: FlightGuard, credential: FlightCredential, ends: Ends): Actor['register'] {
  return (flight) => {
    const registration = guard.register(flight);
    registration.bind(credential, ends);
    return registration;
  };
}

/** What a response goes through where its socket is not the client's: a stream of HTTP/2. */
interface Stream {
  /** Resets it, and its connection if that may still send some of it. */
  cut(): void;
  /** Calls the listener once the system has all of the response, or the client has gone; at once where that was before. */
  onSent(listener: () => void): void;
}

const streamOf = ({ socket }: IncomingMessage): Stream | undefined =>
  (socket as IncomingMessage['socket'] & { readonly stream?: Stream }).stream;

/** Resets the connection of a response, or its stream where others share the connection: nothing queued goes out. */
export function resetResponse({ req }: Response): void {
  const stream = streamOf(req);
  if (stream === undefined) resetConnection(req.socket);
  else stream.cut();
}

/**
 * Registers what is sent from now on with the revocation guard, until all of it is with the kernel. Call it in the tick
 * that checks the credential and sends the response. Without effect where there is no user, or their credential is not
 * valid any more: a response to the revocation of one's own session is for its user.
 */
export function cutWhenRevoked(res: Response): void {
  const actor = actorOf(res.req);
  if (actor === undefined || !isValid(actor)) return;
  const registration = actor.register({ cut: () => resetResponse(res) });
  const stream = streamOf(res.req);
  const close = (): void => registration.close();
  if (stream === undefined) whenOver(res, close);
  else stream.onSent(close);
}
