/** Optional properties, for objects whose types have them exactly (`exactOptionalPropertyTypes`). */

/** The properties that may be undefined are optional, and none of them is there as undefined. */
export type Defined<T extends object> = {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K];
} & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Returns a copy without the properties that are undefined. Where each request of kubectl passes, a spread costs less. */
export function defined<T extends object>(properties: T): Defined<T> {
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(properties)) if (value !== undefined) copy[key] = value;
  return copy as Defined<T>;
}
