/**
 * Encodes an id or a secret for a form (RFC 6749 §2.3.1). By the algorithm that browsers use for that, letters,
 * digits and `*-._` stay as they are. openid-client encodes those four as well, and a provider that compares the
 * text without decoding it then rejects most secrets.
 * @see https://url.spec.whatwg.org/#concept-urlencoded-serializer
 */
export const formEncoded = (value: string): string => new URLSearchParams({ '': value }).toString().slice(1);
