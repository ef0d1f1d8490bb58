import rc2 from 'node-forge/lib/rc2.js'
import util from 'node-forge/lib/util.js'

/**
 * RC2 in CBC mode (RFC 2268), which old PKCS#12 files are encrypted with and OpenSSL 3 no longer has. Only these two parts of
 * node-forge are loaded: they cost 3 ms, all of it costs 40. Undefined if the padding shows a wrong key.
 */
export function rc2Decrypt(key: Uint8Array, iv: Uint8Array, encrypted: Uint8Array): Uint8Array | undefined {
  const binary = (bytes: Uint8Array) => util.createBuffer(Buffer.from(bytes).toString('binary'))
  const cipher = rc2.createDecryptionCipher(binary(key), key.length * 8)
  cipher.start(binary(iv))
  cipher.update(binary(encrypted))
  return cipher.finish() ? Buffer.from(cipher.output.getBytes(), 'binary') : undefined
}
