import { expect, it } from 'vitest'
import { readDer } from '../../shared/certificate/der.ts'
import { readDistinguishedName } from '../../shared/certificate/distinguished-name.ts'

const UTF8 = 0x0c
const PRINTABLE = 0x13
const NUMERIC = 0x12

/** A name of one common name, written as the given kind of string. */
function canonical(kind: number, text: string): string {
  const wrapped = (tag: number, ...parts: Uint8Array[]) => {
    const content = Buffer.concat(parts)
    return Buffer.concat([Buffer.of(tag, content.length), content])
  }
  const attribute = wrapped(0x30, Buffer.from('0603550403', 'hex'), wrapped(kind, Buffer.from(text)))
  return readDistinguishedName(readDer(wrapped(0x30, wrapped(0x31, attribute)))).canonical
}

it('two names of an issuer are equal where clients take them for equal, and nowhere else', () => {
  const name = canonical(UTF8, 'Test CA')
  expect(canonical(PRINTABLE, 'TEST  ca ')).toBe(name)
  expect(canonical(UTF8, 'Test CB')).not.toBe(name)
  // Found by fuzzing: OpenSSL compares a NumericString by its bytes and found no issuer.
  expect(canonical(NUMERIC, 'Test CA')).not.toBe(name)
  // Only ASCII letters have a case here, and a ligature is not two letters.
  expect(canonical(UTF8, 'Über CA')).not.toBe(canonical(UTF8, 'über CA'))
  expect(canonical(UTF8, 'Oﬃce CA')).not.toBe(canonical(UTF8, 'Office CA'))
})
