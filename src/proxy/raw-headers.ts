/** Reads flat header lists: name, value, name, value, … as Node and undici give them, one character a byte. */
export { valuesOf } from '../core/http/header-names.ts';
