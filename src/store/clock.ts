/** The time by which expiry is judged; injected, so that a test can move it and both stores agree. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
}
