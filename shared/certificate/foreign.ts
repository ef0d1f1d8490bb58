import { textOf } from './pem.ts'
import { printable } from './printable.ts'

/** What people take for a bundle and nobody here opens. */
export interface Foreign {
  code: 'archive' | 'keystore' | 'document'
  /** A part of a sentence: "… is …, with the command that helps". Safe to print and to paste. */
  message: string
}

/** Told apart by content; a name only chooses between two commands. Undefined for everything else. */
export function foreignKind(bytes: Uint8Array, name: string): Foreign | undefined {
  const file = shellWord(name)
  return keystore(bytes, file) ?? archive(bytes, file) ?? document(bytes, name, file)
}

/** A name for a command that somebody pastes: one that a shell would read otherwise is left to them. */
export function shellWord(name: string): string {
  const last = name.split('/').at(-1)!
  return /^[A-Za-z0-9_@%+=:,][\w@%+=:,.-]*$/.test(last) ? printable(last) : 'FILE'
}

function startsWith(bytes: Uint8Array, ...magics: string[]): boolean {
  const start = Buffer.from(bytes.subarray(0, 8)).toString('hex')
  return magics.some((magic) => start.startsWith(magic))
}

const GIVE = 'Put that here, with its password in rotation.yaml (password:; for inspect --password-file)'

function keystore(bytes: Uint8Array, file: string): Foreign | undefined {
  const convert = (type: string) =>
    `keytool -importkeystore -srckeystore ${file} ${type}-destkeystore ${file}.p12 -deststoretype PKCS12`
  const found = (what: string, command: string): Foreign => ({
    code: 'keystore',
    message: `is ${what}, which is not opened here: make a PKCS#12 of it with ${command}. ${GIVE}`,
  })
  if (startsWith(bytes, 'feedfeed')) return found('a Java keystore (JKS)', convert(''))
  if (startsWith(bytes, 'cececece')) return found('a Java keystore (JCEKS)', convert('-srcstoretype JCEKS '))
  // Its version, and the length of its salt.
  if (startsWith(bytes, '0000000100000014', '0000000200000014')) {
    const provider =
      '-srcstoretype BKS -provider org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath bcprov.jar '
    return found('a BouncyCastle keystore (BKS)', convert(provider))
  }
  if (startsWith(bytes, '0000000043455254'))
    return found(
      'a certificate store of Windows (SST), and holds no private key',
      'Export-PfxCertificate where the key is',
    )
  return undefined
}

function archive(bytes: Uint8Array, file: string): Foreign | undefined {
  const found = (what: string, command: string): Foreign => ({
    code: 'archive',
    message: `is ${what}, which is not opened here: unpack it with ${command} and put certificate, chain and key here`,
  })
  const isTar = /\.(t|tar\.)\w+$/i.test(file)
  if (Buffer.from(bytes.subarray(257, 262)).toString('latin1') === 'ustar')
    return found('a TAR archive', `tar -xf ${file}`)
  if (startsWith(bytes, '1f8b'))
    return found('packed with gzip', isTar ? `tar -xzf ${file}` : `gunzip ${file}`)
  if (startsWith(bytes, '425a68'))
    return found('packed with bzip2', isTar ? `tar -xf ${file}` : `bunzip2 ${file}`)
  if (startsWith(bytes, 'fd377a585a'))
    return found('packed with xz', isTar ? `tar -xf ${file}` : `unxz ${file}`)
  if (startsWith(bytes, '377abcaf271c')) return found('a 7z archive', `7z x ${file}`)
  if (startsWith(bytes, '526172211a')) return found('a RAR archive', `unrar x ${file}`)
  return undefined
}

/** `-----BEGIN ` in Base64. */
const ENCODED_PEM = /LS0tLS1CRUdJTi/
/** A certificate, key or PKCS#12 in DER and Base64, as a value. */
const ENCODED_DER = /"MI[A-Za-z0-9+/]{400}/

/** JSON, or YAML whose blocks are not PEM as it stands. One that holds no certificate is a note beside a bundle. */
function document(bytes: Uint8Array, name: string, file: string): Foreign | undefined {
  const text = textOf(bytes)
  if (text === undefined) return undefined
  const isJson = /^\s*[{[]/.test(text)
  if (!isJson && !/\.ya?ml$/i.test(name) && !/^(---|[A-Za-z]\w*:)/.test(text)) return undefined
  const holds = ENCODED_PEM.test(text) || (isJson && (text.includes('-----BEGIN ') || ENCODED_DER.test(text)))
  return holds
    ? {
        code: 'document',
        message: `is ${isJson ? 'JSON' : 'YAML'} that holds a certificate, and is not taken apart here: ${takenApart(text, isJson, file)}`,
      }
    : undefined
}

function takenApart(text: string, isJson: boolean, file: string): string {
  const query = isJson ? 'jq' : 'yq'
  const both = (certificate: string, key: string) => `${certificate} and ${key} write what to put here`
  if (/tls\.crt/.test(text)) {
    const part = (name: string) => `${query} -r '.data["${name}"]' ${file} | base64 -d > ${name}`
    return both(part('tls.crt'), part('tls.key'))
  }
  if (/"Certificates"\s*:/.test(text)) {
    const part = (field: string, to: string) =>
      `jq -r '.[].Certificates[] | select(.domain.main == "HOST") | .${field}' ${file} | base64 -d > ${to}`
    return both(part('certificate', 'fullchain.pem'), part('key', 'privkey.pem'))
  }
  if (/"(ca_chain|issuing_ca)"\s*:/.test(text))
    return both(
      `jq -r '.data | .certificate, .ca_chain[]' ${file} > fullchain.pem`,
      `jq -r .data.private_key ${file} > privkey.pem`,
    )
  return `take certificate, chain and private key out of it (${query} -r, and base64 -d where they are encoded), and put them here as PEM files`
}

/** For what is nothing that is known: how it could come that somebody takes it for a certificate. */
export function likeness(bytes: Uint8Array, name: string): string | undefined {
  const file = shellWord(name)
  const start = Buffer.from(bytes.subarray(0, 64)).toString('latin1')
  if (/^\s*LS0tLS1CRUdJTi/.test(start))
    return `is PEM in Base64 once more: decode it with base64 -d ${file} > decoded.pem`
  if (/^\s*MI[A-Za-z0-9+/]{40}/.test(start))
    return `is Base64 without a BEGIN line: decode it with base64 -d ${file} > decoded.der`
  const wide = /^-\0-\0/.test(start) ? 'LE' : /^\0-\0-/.test(start) ? 'BE' : undefined
  if (wide)
    return `is UTF-16 without a mark: convert it with iconv -f UTF-16${wide} -t UTF-8 ${file} > utf8.pem`
  if (start.includes('-----BEGIN ') && bytes.includes(0))
    return 'is PEM with zero bytes in it: it was copied while it was being written, so copy it again'
  return undefined
}
