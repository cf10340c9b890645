/**
 * The names of Web Crypto that the declarations of @peculiar/x509 expect to be global, as they are in a browser.
 * Node has them in `node:crypto`; the whole DOM library would make `window` and `document` known to a server.
 */
import type { webcrypto } from 'node:crypto';

declare global {
  type Algorithm = webcrypto.Algorithm;
  type AlgorithmIdentifier = webcrypto.AlgorithmIdentifier;
  type BufferSource = webcrypto.BufferSource;
  type CryptoKeyPair = webcrypto.CryptoKeyPair;
  type EcKeyGenParams = webcrypto.EcKeyGenParams;
  type EcKeyImportParams = webcrypto.EcKeyImportParams;
  type EcdsaParams = webcrypto.EcdsaParams;
  type KeyUsage = webcrypto.KeyUsage;
  type RsaHashedImportParams = webcrypto.RsaHashedImportParams;
  type Crypto = webcrypto.Crypto;
  type CryptoKey = webcrypto.CryptoKey;
}
