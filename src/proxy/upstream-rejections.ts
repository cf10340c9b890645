/** Rejections because of the API server, or of the connection to it. */
import { rejection } from './rejections.ts';
import type { Rejection } from './status.ts';

export function redirectRejection(): Rejection {
  const message = 'the API server redirected to another server, which is not followed; ask your platform team';
  return rejection(502, 'ServiceUnavailable', message, 'foreign_redirect');
}

export function proxyTokenRejection(): Rejection {
  const message = "the cluster does not accept the proxy's own credential; yours is good: ask your platform team";
  return rejection(502, 'ServiceUnavailable', message, 'own_token_refused');
}

/** Returns the rejection for an API server that cannot be reached: not a byte of the request has been sent. */
export const upstreamUnavailable = (): Rejection =>
  rejection(
    503,
    'ServiceUnavailable',
    "the cluster's API server cannot be reached; try again, and ask your platform team if this continues",
    'upstream_unavailable',
    'later',
  );

/** Returns the rejection for a request that has waited too long for a connection: nothing of it has been sent. */
export const upstreamBusy = (): Rejection =>
  rejection(
    503,
    'ServiceUnavailable',
    "no connection to the cluster's API server was free in time, because too many requests are open, perhaps your own; try again",
    'upstream_busy',
    'later',
  );

/** Returns the rejection for a body that has stopped: the API server has had none of it, or not the whole. */
export const uploadStalled = (): Rejection =>
  rejection(
    408,
    'Timeout',
    'nothing more of the body of this request arrived in time, so the request was given up',
    'upload_stalled',
  );

/** Returns the rejection for a body that comes so slowly that its connection is given to another account. */
export const uploadGaveWay = (): Rejection =>
  rejection(
    408,
    'Timeout',
    'the body of this request arrived too slowly while others waited for a connection to the cluster, so the request was given up; send it again',
    'upload_gave_way',
  );

/** Returns the rejection for a server at the API server's address that does not prove that it is the API server. */
export const upstreamUntrusted = (): Rejection =>
  rejection(
    502,
    'ServiceUnavailable',
    "the server at the address of the cluster's API server does not prove that it is the API server; ask your platform team",
    'upstream_untrusted',
  );

/** @param repeatable the request changes nothing, whether it was executed or not */
export const upstreamLost = (repeatable: boolean): Rejection =>
  repeatable
    ? upstreamUnavailable()
    : rejection(
        502,
        'ServiceUnavailable',
        "the connection to the cluster's API server was lost before it responded, so the request may have been executed: check before you repeat it",
        'upstream_lost',
      );

export const upstreamInvalid = (): Rejection =>
  rejection(
    502,
    'ServiceUnavailable',
    "the cluster's API server sent a response that is not valid HTTP; ask your platform team",
    'upstream_invalid',
  );

export const upstreamTimeout = (): Rejection =>
  rejection(504, 'Timeout', "the cluster's API server did not respond in time; try again", 'upstream_timeout');
