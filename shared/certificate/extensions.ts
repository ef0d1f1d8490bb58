import {
  type BitString,
  bitIsSet,
  checkedInteger,
  childrenOf,
  DerError,
  type DerNode,
  expectUniversal,
  isContext,
  isUniversal,
  readBitString,
  readBoolean,
  readDer,
  readOid,
  readSmallInteger,
  sequenceOf,
  smallInteger,
  Tag,
} from './der.ts'
import { type GeneralName, readGeneralName } from './general-name.ts'

/** Object identifiers of the extensions this product processes (RFC 5280, 4.2). */
export const Extension = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAlternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInformationAccess: '1.3.6.1.5.5.7.1.1',
  issuerAlternativeName: '2.5.29.18',
  crlDistributionPoints: '2.5.29.31',
  netscapeCertificateType: '2.16.840.1.113730.1.1',
  /** RFC 6962, 3.1: marks a precertificate, which no browser takes. */
  precertificatePoison: '1.3.6.1.4.1.11129.2.4.3',
} as const

/** Looked at for their form only: OpenSSL refuses a certificate in which they are malformed. Critical, they stay unknown. */
export const NOT_PROCESSED: readonly string[] = [
  Extension.issuerAlternativeName,
  Extension.crlDistributionPoints,
  Extension.netscapeCertificateType,
  Extension.precertificatePoison,
]

export const ANY_POLICY = '2.5.29.32.0'
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0'

export interface KeyUsage {
  digitalSignature: boolean
  keyEncipherment: boolean
  keyAgreement: boolean
  keyCertSign: boolean
  any: boolean
}

export interface BasicConstraints {
  ca: boolean
  pathLength: number | undefined
}

export interface NameConstraints {
  permitted: GeneralName[]
  excluded: GeneralName[]
}

export interface PolicyConstraints {
  requireExplicitPolicy: number | undefined
  inhibitPolicyMapping: number | undefined
}

export interface AuthorityKeyIdentifier {
  keyIdentifier: Uint8Array | undefined
  /** Name of the issuer's own issuer, and the issuer's serial number: both or none. */
  issuer: GeneralName[] | undefined
  serial: Uint8Array | undefined
}

/** The values of the extensions that are present and well formed. */
export interface Extensions {
  basicConstraints?: BasicConstraints
  keyUsage?: KeyUsage
  /** Object identifiers. */
  extendedKeyUsage?: string[]
  subjectAlternativeName?: GeneralName[]
  nameConstraints?: NameConstraints
  subjectKeyIdentifier?: Uint8Array
  authorityKeyIdentifier?: AuthorityKeyIdentifier
  certificatePolicies?: string[]
  policyMappings?: { issuer: string; subject: string }[]
  policyConstraints?: PolicyConstraints
  inhibitAnyPolicy?: number
  /** Netscape's forerunner of the extended key usage, which OpenSSL still obeys: whether it holds "SSL server". */
  netscapeServer?: boolean
}

/** Throws `DerError` if the value of a known extension is not what its syntax says. Unknown ones are left alone. */
export function readExtension(into: Extensions, oid: string, value: Uint8Array): void {
  const node = () => readDer(value)
  switch (oid) {
    case Extension.basicConstraints:
      into.basicConstraints = readBasicConstraints(node())
      return
    case Extension.keyUsage:
      into.keyUsage = readKeyUsage(readBitString(node()))
      return
    case Extension.extendedKeyUsage:
      into.extendedKeyUsage = nonEmpty(sequenceOf(node(), 'extended key usage')).map((n) => readOid(n))
      return
    case Extension.subjectAlternativeName:
      into.subjectAlternativeName = nonEmpty(sequenceOf(node(), 'list of names')).map(readAlternativeName)
      return
    case Extension.nameConstraints:
      into.nameConstraints = readNameConstraints(node())
      return
    case Extension.subjectKeyIdentifier:
      into.subjectKeyIdentifier = expectUniversal(node(), Tag.octetString, 'key identifier').value
      return
    case Extension.authorityKeyIdentifier:
      into.authorityKeyIdentifier = readAuthorityKeyIdentifier(node())
      return
    case Extension.certificatePolicies:
      into.certificatePolicies = nonEmpty(sequenceOf(node(), 'list of policies')).map((policy) =>
        readOid(sequenceOf(policy, 'policy')[0]),
      )
      if (new Set(into.certificatePolicies).size !== into.certificatePolicies.length)
        throw new DerError('names a policy twice')
      return
    case Extension.policyMappings:
      into.policyMappings = nonEmpty(sequenceOf(node(), 'list of policy mappings')).map((pair) => {
        const [issuer, subject] = sequenceOf(pair, 'policy mapping')
        return { issuer: readOid(issuer), subject: readOid(subject) }
      })
      return
    case Extension.policyConstraints:
      into.policyConstraints = readPolicyConstraints(node())
      return
    case Extension.inhibitAnyPolicy:
      into.inhibitAnyPolicy = readSmallInteger(node())
      return
    case Extension.issuerAlternativeName:
      nonEmpty(sequenceOf(node(), 'list of names')).map(readAlternativeName)
      return
    case Extension.crlDistributionPoints:
      nonEmpty(sequenceOf(node(), 'list of distribution points')).map(checkDistributionPoint)
      return
    case Extension.netscapeCertificateType:
      into.netscapeServer = bitIsSet(readBitString(node()), 1)
      return
    case Extension.authorityInformationAccess:
      for (const description of nonEmpty(sequenceOf(node(), 'list of access descriptions'))) {
        const [method, location, ...rest] = sequenceOf(description, 'access description')
        readOid(method)
        if (location === undefined || rest.length > 0)
          throw new DerError('has a wrongly encoded access description')
        readGeneralName(location)
      }
      return
    default:
      return
  }
}

function nonEmpty(nodes: DerNode[]): DerNode[] {
  if (nodes.length === 0) throw new DerError('is an empty list')
  return nodes
}

/** RFC 5280, 4.2.1.13. */
function checkDistributionPoint(node: DerNode): void {
  for (const field of sequenceOf(node, 'distribution point')) {
    if (field.tagClass !== 'context' || field.tag > 2)
      throw new DerError('has something unknown in a distribution point')
    if (field.tag === 2) nonEmpty(childrenOf(field)).map(readGeneralName)
    if (field.tag !== 0) continue
    const [choice, ...rest] = childrenOf(field)
    if (choice === undefined || rest.length > 0)
      throw new DerError('has a wrongly encoded distribution point')
    if (isContext(choice, 0)) nonEmpty(childrenOf(choice)).map(readGeneralName)
    else if (!isContext(choice, 1)) throw new DerError('has a distribution point of an unknown kind')
  }
}

function readBasicConstraints(node: DerNode): BasicConstraints {
  const fields = sequenceOf(node, 'basic constraints')
  let at = 0
  const ca = isUniversal(fields[at], Tag.boolean) ? readBoolean(fields[at++]!) : false
  const pathLength = isUniversal(fields[at], Tag.integer) ? readSmallInteger(fields[at++]) : undefined
  if (at !== fields.length) throw new DerError('has something unknown in its basic constraints')
  return { ca, pathLength }
}

function readKeyUsage(bits: BitString): KeyUsage {
  return {
    digitalSignature: bitIsSet(bits, 0),
    keyEncipherment: bitIsSet(bits, 2),
    keyAgreement: bitIsSet(bits, 4),
    keyCertSign: bitIsSet(bits, 5),
    any: bits.bytes.some((byte) => byte !== 0),
  }
}

function readAlternativeName(node: DerNode): GeneralName {
  const name = readGeneralName(node)
  if (name.kind === 'ip' && name.value.length !== 4 && name.value.length !== 16)
    throw new DerError('has an IP address of a strange length')
  if ((name.kind === 'dns' || name.kind === 'uri') && name.value === '')
    throw new DerError('has an empty name')
  return name
}

function readNameConstraints(node: DerNode): NameConstraints {
  const fields = sequenceOf(node, 'name constraints')
  const constraints: NameConstraints = { permitted: [], excluded: [] }
  let last = -1
  for (const field of fields) {
    if (field.tagClass !== 'context' || field.tag > 1 || field.tag <= last)
      throw new DerError('has something unknown in its name constraints')
    last = field.tag
    // RFC 5280, 4.2.1.10: at least one subtree; `minimum` 0 is the default and `maximum` must be absent.
    const bases = nonEmpty(childrenOf(field)).map((subtree) => {
      const [base, ...rest] = sequenceOf(subtree, 'subtree')
      if (base === undefined || rest.length > 0) throw new DerError('has a subtree with a minimum or maximum')
      return readConstraintBase(base)
    })
    constraints[field.tag === 0 ? 'permitted' : 'excluded'] = bases
  }
  if (fields.length === 0) throw new DerError('has empty name constraints')
  return constraints
}

function readConstraintBase(node: DerNode): GeneralName {
  const base = readGeneralName(node)
  if (base.kind === 'ip') {
    const half = base.value.length / 2
    if (half !== 4 && half !== 16) throw new DerError('has an IP address range of a strange length')
    const bits = [...base.value.subarray(half)].map((byte) => byte.toString(2).padStart(8, '0')).join('')
    if (/01/.test(bits)) throw new DerError('has an IP address range whose mask has a hole')
  }
  return base
}

function readPolicyConstraints(node: DerNode): PolicyConstraints {
  const fields = nonEmpty(sequenceOf(node, 'policy constraints'))
  const count = (tag: number) => {
    const field = fields.find((candidate) => isContext(candidate, tag))
    return field === undefined ? undefined : smallInteger(checkedInteger(field.value))
  }
  return { requireExplicitPolicy: count(0), inhibitPolicyMapping: count(1) }
}

function readAuthorityKeyIdentifier(node: DerNode): AuthorityKeyIdentifier {
  const fields = sequenceOf(node, 'authority key identifier')
  if (
    fields.some(
      (field, i) =>
        field.tagClass !== 'context' ||
        field.tag > 2 ||
        // Only the issuer's names hold further elements.
        field.constructed !== (field.tag === 1) ||
        fields.slice(0, i).some((f) => f.tag >= field.tag),
    )
  )
    throw new DerError('has something unknown in its authority key identifier')
  const issuer = fields.find((field) => field.tag === 1)
  const issuerNames = issuer === undefined ? undefined : nonEmpty(childrenOf(issuer)).map(readGeneralName)
  const serial = fields.find((field) => field.tag === 2)
  if (serial !== undefined) checkedInteger(serial.value)
  // RFC 5280, 4.2.1.1: both or none.
  if ((issuer === undefined) !== (serial === undefined))
    throw new DerError('has an authority key identifier with only one of issuer and serial number')
  return {
    keyIdentifier: fields.find((field) => field.tag === 0)?.value,
    issuer: issuerNames,
    serial: serial?.value,
  }
}
