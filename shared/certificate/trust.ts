import { rootCertificates } from 'node:tls'
import { Failure } from '../base/failure.ts'
import type { Certificate } from './bundle.ts'
import { DerError } from './der.ts'
import { readPemBlocks } from './pem.ts'
import { readCertificate } from './x509.ts'

/** Which roots a chain has to end at. `any` leaves that open: for a gateway that only its own clients use. */
export type Trust =
  | { kind: 'public'; roots: Certificate[] }
  | { kind: 'private'; roots: Certificate[] }
  | { kind: 'any' }

let publicOnes: Certificate[] | undefined

/** Mozilla's roots as this Node carries them; read when first asked for (some 140 certificates, 60 ms). */
export function publicRoots(): Certificate[] {
  publicOnes ??= rootsFromPem(rootCertificates.join('\n'))
  return publicOnes
}

/** The certificates of a CA bundle in PEM; what cannot be read is left out. */
export function rootsFromPem(text: string): Certificate[] {
  return readPemBlocks(text).flatMap((block) => {
    if (block.problem !== undefined || !block.label.endsWith('CERTIFICATE')) return []
    try {
      return [readCertificate(block.der)]
    } catch (thrown) {
      if (thrown instanceof DerError) return []
      throw thrown
    }
  })
}

/** The trust setting as the config writes it, with the file's content in place of its name. */
export type TrustSetting = 'public' | 'any' | { private: Uint8Array | string }

/** Throws a `Failure` if a private CA bundle holds no certificate. */
export function readTrust(setting: TrustSetting): Trust {
  if (setting === 'any') return { kind: 'any' }
  if (setting === 'public') return { kind: 'public', roots: publicRoots() }
  const roots = rootsFromPem(
    typeof setting.private === 'string' ? setting.private : new TextDecoder().decode(setting.private),
  )
  if (roots.length > 0) return { kind: 'private', roots }
  throw new Failure({
    code: 'trust.no-roots',
    kind: 'never',
    message: 'The file with the private roots holds no certificate in PEM that can be read',
    next: 'Point trust.private at a file with one or more CERTIFICATE blocks.',
  })
}
