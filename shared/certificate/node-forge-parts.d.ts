// @types/node-forge describes the package as a whole only.
declare module 'node-forge/lib/rc2.js' {
  import type { util } from 'node-forge'

  interface Cipher {
    start(iv: util.ByteStringBuffer): void
    update(input: util.ByteStringBuffer): void
    finish(): boolean
    output: util.ByteStringBuffer
  }
  const rc2: { createDecryptionCipher(key: util.ByteStringBuffer, bits: number): Cipher }
  export default rc2
}
declare module 'node-forge/lib/util.js' {
  import { util } from 'node-forge'
  export default util
}
