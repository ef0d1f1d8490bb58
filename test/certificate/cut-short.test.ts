import { expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import { cutShort } from '../../shared/certificate/cut-short.ts'

const authority = await createAuthority({ commonName: 'Root' })
const issued = await authority.issue({ names: ['a.example'] })
const pem = Buffer.from(issued.fullchainPem + issued.privateKeyPem)
const der = Buffer.from(issued.certificatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
const ends = [...pem.toString().matchAll(/-----END [A-Z ]+-----\n?/g)].map((end) => end.index + end[0].length)
const begins = [...pem.toString().matchAll(/-----BEGIN /g)].map((begin) => begin.index)

it('every beginning of a PEM file is cut short or empty, but where a block ends', () => {
  for (let length = 0; length < pem.length; length++) {
    const between = ends.some((end) => length === end || length === end - 1)
    const said = cutShort(pem.subarray(0, length))
    expect([length, said]).toEqual([length, length === 0 ? 'empty' : between ? undefined : 'cut short'])
  }
  expect(cutShort(pem)).toBeUndefined()
  expect(begins.length).toBe(ends.length)
})

it('every beginning of a DER file is cut short or empty', () => {
  for (let length = 0; length < der.length; length++)
    expect([length, cutShort(der.subarray(0, length))]).toEqual([
      length,
      length === 0 ? 'empty' : 'cut short',
    ])
  expect(cutShort(der)).toBeUndefined()
})

it.each([
  ['blanks', ' \n\n', 'empty'],
  ['room that is reserved and not filled', '\0'.repeat(100), 'empty'],
  ['a block and room that is not filled', `${issued.certificatePem}${'\0'.repeat(100)}`, 'cut short'],
  ['UTF-16, whole', Buffer.from(`\ufeff${issued.certificatePem}`, 'utf16le'), undefined],
  ['UTF-16, cut', Buffer.from(`\ufeff${issued.certificatePem.slice(0, 300)}`, 'utf16le'), 'cut short'],
  ['a text that is no PEM', 'this is a note', undefined],
  ['a text that starts like DER', '0 s:CN = a.example', undefined],
  ['a broken block with its end', '-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----', undefined],
  ['DER and what stands behind it', Buffer.concat([der, Buffer.from('\n')]), undefined],
  ['PKCS#12 of indefinite length', Buffer.from('3080020103', 'hex'), undefined],
  ['other bytes', Buffer.from('ff00ff00', 'hex'), undefined],
])('%s', (_, content, expected) => {
  expect(cutShort(Buffer.from(content as string))).toBe(expected)
})
