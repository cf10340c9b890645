/** Bytes of the budget (`pending.ts`) that one artefact takes, and the site that caused it. */
interface Usage {
  readonly bytes: number;
  readonly site: string;
}

interface Site {
  bytes: number;
  /** Oldest first: all artefacts of a kind live equally long. */
  readonly keys: Set<string>;
}

export class PendingBudget {
  readonly #most: number;
  readonly #usages = new Map<string, Usage>();
  readonly #sites = new Map<string, Site>();
  #bytes = 0;

  /** @param most bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns the keys to delete for it: the oldest of the site that uses most, until the rest fits */
  add(key: string, usage: Usage): readonly string[] {
    this.remove(key);
    const site = this.#sites.get(usage.site) ?? { bytes: 0, keys: new Set<string>() };
    this.#sites.set(usage.site, site);
    this.#usages.set(key, usage);
    site.keys.add(key);
    site.bytes += usage.bytes;
    this.#bytes += usage.bytes;
    const displaced: string[] = [];
    while (this.#bytes > this.#most) {
      const oldest = this.#largest()?.keys.values().next().value;
      if (oldest === undefined) break;
      displaced.push(oldest);
      this.remove(oldest);
    }
    return displaced;
  }

  remove(key: string): void {
    const usage = this.#usages.get(key);
    const site = usage && this.#sites.get(usage.site);
    if (usage === undefined || site === undefined) return;
    this.#usages.delete(key);
    site.keys.delete(key);
    site.bytes -= usage.bytes;
    this.#bytes -= usage.bytes;
    if (site.keys.size === 0) this.#sites.delete(usage.site);
  }

  siteOf(key: string): string | undefined {
    return this.#usages.get(key)?.site;
  }

  #largest(): Site | undefined {
    let largest: Site | undefined;
    for (const site of this.#sites.values()) if (largest === undefined || site.bytes > largest.bytes) largest = site;
    return largest;
  }
}
