/** The budget of one kind of artefact (`pending.ts`): how many bytes each site has of it. */
interface Place {
  readonly bytes: number;
  readonly site: string;
}

interface Site {
  bytes: number;
  /** Oldest first: all of a kind live equally long. */
  readonly keys: Set<string>;
}

export class PendingBudget {
  readonly #most: number;
  readonly #places = new Map<string, Place>();
  readonly #sites = new Map<string, Site>();
  #bytes = 0;

  /** @param most bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns what has to go for it: of the site that has the most, the oldest, until all that is left has room */
  enter(key: string, place: Place): readonly string[] {
    this.leave(key);
    const site = this.#sites.get(place.site) ?? { bytes: 0, keys: new Set<string>() };
    this.#sites.set(place.site, site);
    this.#places.set(key, place);
    site.keys.add(key);
    site.bytes += place.bytes;
    this.#bytes += place.bytes;
    const displaced: string[] = [];
    while (this.#bytes > this.#most) {
      const oldest = this.#largest()?.keys.values().next().value;
      if (oldest === undefined) break;
      displaced.push(oldest);
      this.leave(oldest);
    }
    return displaced;
  }

  leave(key: string): void {
    const place = this.#places.get(key);
    const site = place && this.#sites.get(place.site);
    if (place === undefined || site === undefined) return;
    this.#places.delete(key);
    site.keys.delete(key);
    site.bytes -= place.bytes;
    this.#bytes -= place.bytes;
    if (site.keys.size === 0) this.#sites.delete(place.site);
  }

  siteOf(key: string): string | undefined {
    return this.#places.get(key)?.site;
  }

  #largest(): Site | undefined {
    let largest: Site | undefined;
    for (const site of this.#sites.values()) if (largest === undefined || site.bytes > largest.bytes) largest = site;
    return largest;
  }
}
