/**
 * Decides whether the API server surely parses a label selector: terms `k`, `!k`, `k=v`, `k==v` and `k!=v`, joined by
 * commas. It parses more (`k in (a, b)`, white space), which is of no interest here.
 */
const NAME = '[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?';
const DOMAIN = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*';
const KEY = `(?:(?=[^/]{1,253}/)${DOMAIN}/)?${NAME}`;
const TERM = new RegExp(`^(?:!${KEY}|${KEY}(?:(?:==?|!=)(?:${NAME})?)?)$`);

export const isPlainSelector = (selector: string): boolean =>
  selector === '' || selector.split(',').every((term) => TERM.test(term));
