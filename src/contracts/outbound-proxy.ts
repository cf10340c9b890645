/** The proxy through which identity providers, directories and webhooks are reached, as it is configured. */
export interface OutboundProxy {
  /** `http://HOST:PORT` or `https://HOST:PORT`, without name and password. */
  readonly url: string;
  /** The setting or the variable that names it, for messages. */
  readonly setting: string;
  /** Destinations that are reached directly, as `NO_PROXY` has them. */
  readonly noProxy: string;
  /**
   * `NAME:PASSWORD` of `HTTPS_PROXY`. A function, so that no text or digest that is made of the configuration contains
   * it.
   */
  readonly credentials?: () => string;
  /** A file of `NAME:PASSWORD`; counts before `credentials`. */
  readonly credentialsFile?: string;
  /** PEM of the CAs that verify a proxy that is reached by https. Absent: the system's. */
  readonly caFile?: string;
}
