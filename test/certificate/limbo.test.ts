import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import { object, shareOfLimit } from './tools.ts'

interface Case {
  id: string
  validation_kind: 'SERVER' | 'CLIENT'
  trusted_certs: string[]
  untrusted_intermediates: string[]
  peer_certificate: string
  validation_time: string | null
  expected_result: 'SUCCESS' | 'FAILURE'
  expected_peer_name: { kind: string; value: string } | null
  max_chain_depth: number | null
}

const folder = process.env.LIMBO_DIR ?? join(import.meta.dirname, '../../../shared/testdata')
const present = existsSync(join(folder, 'x509-limbo.json'))
if (!present)
  console.log(
    `x509-limbo is left out: there is no x509-limbo.json in LIMBO_DIR (or ../shared/testdata beside the repository)`,
  )

/** Cases in which we differ from limbo, each with the reason. Where Chromium agrees with limbo there is none. */
const DIFFERENCES: Record<string, string> = {
  'crl::revoked-certificate-with-crl': 'revocation is not part of a bundle and not looked at',
  'crl::crlnumber-missing': 'revocation is not looked at',
  'crl::crlnumber-critical': 'revocation is not looked at',
  'crl::issuer-missing-crlsign': 'revocation is not looked at',
  'pathlen::validation-ignores-pathlen-in-leaf': 'a CA as leaf is refused (issue, and Chromium refuses it)',
  'rfc5280::ca-as-leaf': 'a CA as leaf is refused (issue, and Chromium refuses it)',
  'rfc5280::aki::leaf-missing-aki': 'a warning: private CAs leave it out, and every client accepts it',
  'rfc5280::aki::intermediate-missing-aki':
    'a warning: private CAs leave it out, and every client accepts it',
  'rfc5280::aki::cross-signed-root-missing-aki':
    'a warning: private CAs leave it out, and every client accepts it',
  'rfc5280::ski::root-missing-ski': 'a warning, as in Chromium',
  'rfc5280::ski::intermediate-missing-ski': 'a warning, as in Chromium',
  'rfc5280::nc::permitted-dns-match-noncritical':
    'a warning; the constraint is applied all the same (CA/B allows it)',
  'rfc5280::nc::permitted-dn-match': 'has no subject alternative name, which no browser takes for a server',
  'rfc5280::nc::invalid-dnsname-leading-period':
    'a leading dot is read as "below", as Chromium and OpenSSL do',
  'rfc5280::pc::ica-noncritical-pc': 'a warning, as in Chromium',
  'rfc5280::san::underscore-dns': 'a warning: host names with underscores exist in private networks',
  'rfc5280::serial::too-long': 'a warning: RFC 5280 asks users to handle it gracefully',
  'rfc5280::serial::zero': 'a warning: RFC 5280 asks users to handle it gracefully',
  'rfc5280::root-non-critical-basic-constraints': 'a warning, as in Chromium: old roots have it so',
  'webpki::aki::root-with-aki-missing-keyidentifier': "a root's pointer to itself is of no use to validation",
  'webpki::aki::root-with-aki-all-fields': "a root's pointer to itself is of no use to validation",
  'webpki::aki::root-with-aki-ski-mismatch':
    'the key identifier is a hint (RFC 4158, 3.5.12); the signature decides',
  'webpki::cn::ipv4-hex-mismatch': 'the common name is never looked at',
  'webpki::cn::ipv4-leading-zeros-mismatch': 'the common name is never looked at',
  'webpki::cn::ipv6-uppercase-mismatch': 'the common name is never looked at',
  'webpki::cn::ipv6-uncompressed-mismatch': 'the common name is never looked at',
  'webpki::cn::ipv6-non-rfc5952-mismatch': 'the common name is never looked at',
  'webpki::cn::punycode-not-in-san': 'the common name is never looked at',
  'webpki::cn::utf8-vs-punycode-mismatch': 'the common name is never looked at',
  'webpki::cn::not-in-san': 'the common name is never looked at',
  'webpki::cn::case-mismatch': 'the common name is never looked at',
  'webpki::eku::ee-anyeku': 'serverAuth is there too; the rest binds public CAs only',
  'webpki::eku::ee-critical-eku': 'RFC 5280 allows a critical extended key usage',
  'webpki::eku::ee-without-eku': 'RFC 5280 allows it, and so do browsers',
  'webpki::eku::root-has-eku': 'it holds serverAuth; the ban binds public CAs only',
  'webpki::san::public-suffix-private-namespace-wildcard-san':
    "the list's private part does not bind certificates",
  'webpki::san::san-critical-with-nonempty-subject': 'RFC 5280 allows a critical subject alternative name',
  'webpki::forbidden-rsa-not-divisible-by-8-in-root':
    'an odd length is no weakness; it binds public CAs only',
  'webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf': 'a warning, as in Chromium',
}

/** Where Chromium is laxer and we refuse: the rule behind it. */
const STRICTER_THAN_CHROMIUM: Record<string, string> = {
  'pathlen::max-chain-depth-0-exhausted':
    'the case sets a limit of its own, which Chromium has no switch for',
  'pathlen::max-chain-depth-1-exhausted':
    'the case sets a limit of its own, which Chromium has no switch for',
  'rfc5280::nc::not-allowed-in-ee-noncritical':
    'RFC 5280, 4.2.1.10: name constraints only in a CA certificate',
  'rfc5280::nc::not-allowed-in-ee-critical': 'RFC 5280, 4.2.1.10: name constraints only in a CA certificate',
  'rfc5280::nc::nc-permits-invalid-dns-san': 'RFC 5280, 4.2.1.6: a malformed name cannot be permitted',
  'rfc5280::root-missing-basic-constraints': 'RFC 5280, 4.2.1.9: a version 3 CA says so',
  'rfc5280::leaf-ku-keycertsign': 'RFC 5280, 4.2.1.9: no keyCertSign without CA',
  'webpki::forbidden-weak-rsa-key-in-root':
    'CA/B 6.1.5, and OpenSSL at its default level: RSA from 2048 bits',
  'webpki::forbidden-weak-rsa-in-leaf': 'CA/B 6.1.5 and the gateways: RSA from 2048 bits',
  'webpki::ee-basicconstraints-ca': 'a CA as leaf is refused (issue)',
}

describe.skipIf(!present)('the verdict on chain and host name against x509-limbo and Chromium', () => {
  const { testcases }: { testcases: Case[] } = present
    ? JSON.parse(readFileSync(join(folder, 'x509-limbo.json'), 'utf8'))
    : { testcases: [] }
  const chromium = new Map<string, 'SUCCESS' | 'FAILURE'>()
  if (present)
    for (const line of readFileSync(join(folder, 'x509-limbo-chromium.tsv'), 'utf8').trim().split('\n')) {
      const [id = '', , verdict = ''] = line.split('\t')
      chromium.set(id, verdict.startsWith('ACCEPT') ? 'SUCCESS' : 'FAILURE')
    }
  const servers = testcases.filter((testcase) => testcase.validation_kind === 'SERVER')

  it.each(servers.map((testcase) => [testcase.id, testcase] as const))('%s', (id, testcase) => {
    const ours = verdictOn(testcase)
    const theirs = chromium.get(id)
    if (theirs === testcase.expected_result) expect(ours, 'limbo and Chromium agree').toBe(theirs)
    else if (ours !== testcase.expected_result)
      expect(DIFFERENCES[id], 'a difference to limbo is explained').toBeDefined()
    else if (theirs !== undefined)
      expect(STRICTER_THAN_CHROMIUM[id] ?? theirs, 'being stricter is explained').not.toBe(theirs)
  })

  it('explains no difference that does not exist', () => {
    const differing = servers
      .filter((testcase) => verdictOn(testcase) !== testcase.expected_result)
      .map(({ id }) => id)
    expect(Object.keys(DIFFERENCES).sort()).toEqual(differing.sort())
  })

  it('costs no more than an upload may for every case, the pathological ones included', () => {
    for (const testcase of servers.filter(({ id }) => id.startsWith('pathological::')))
      expect(
        shareOfLimit(() => verdictOn(testcase)),
        testcase.id,
      ).toBeLessThan(2)
  })
})

/** The gateway's date limit is left out, as limbo's certificates last until 2969: `browser` says what is asked here. */
function verdictOn(testcase: Case): 'SUCCESS' | 'FAILURE' {
  const report = inspectReport(
    [object('fullchain.pem', [testcase.peer_certificate, ...testcase.untrusted_intermediates].join('\n'))],
    {
      at: new Date(testcase.validation_time ?? '2026-11-22T00:00:00Z'),
      domains: testcase.expected_peer_name === null ? [] : [testcase.expected_peer_name.value],
      trust: { kind: 'private', roots: rootsFromPem(testcase.trusted_certs.join('\n')) },
      ...(testcase.max_chain_depth === null ? {} : { maxIntermediates: testcase.max_chain_depth }),
    },
  )
  return report.verdict.browser === 'accept' ? 'SUCCESS' : 'FAILURE'
}
