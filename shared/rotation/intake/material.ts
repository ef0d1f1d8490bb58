import type { Bundle } from '../../certificate/bundle.ts'
import type { CertificateMaterial } from '../../gateway/port.ts'
import type { BundleFacts } from '../record/state.ts'

/** What gateways and SCM are given: leaf first, then the intermediates, without the root. */
export function materialOf(bundle: Bundle): CertificateMaterial {
  if (!bundle.privateKey) throw new Error('a bundle without a private key cannot be deployed')
  const material: CertificateMaterial = {
    certificatePem: [bundle.leaf, ...bundle.chain].map((certificate) => certificate.pem).join(''),
    privateKey: bundle.privateKey,
  }
  if (bundle.trustedRootCa.length > 0)
    material.trustedRootCaPem = bundle.trustedRootCa.map((certificate) => certificate.pem).join('')
  return material
}

/** What may be written down about a bundle. */
export function factsOf(bundle: Bundle): BundleFacts {
  const { leaf } = bundle
  return {
    digest: bundle.digest,
    fingerprint: leaf.fingerprint,
    chain: [leaf, ...bundle.chain].map((certificate) => certificate.fingerprint),
    serial: leaf.serial,
    commonName: leaf.commonName,
    names: leaf.names,
    notBefore: leaf.notBefore.toISOString(),
    notAfter: leaf.notAfter.toISOString(),
    algorithm: leaf.algorithm,
  }
}
