import { beforeAll, describe, expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import type { Bundle, Certificate } from '../../shared/certificate/bundle.ts'
import { withTrustedRootCa } from '../../shared/certificate/read-objects.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import { type ClientCaFacts, requireClientCa, withClientCa } from '../../shared/rotation/intake/client-ca.ts'

let a: Certificate
let b: Certificate
let leaf: Certificate
beforeAll(async () => {
  const root = await createAuthority({ commonName: 'Clients A' })
  const other = await createAuthority({ commonName: 'Clients B' })
  const issued = await root.issue({ names: ['a.example'] })
  ;[a, b, leaf] = [root.certificatePem, other.certificatePem, issued.certificatePem].map(
    (pem) => rootsFromPem(pem)[0]!,
  ) as [Certificate, Certificate, Certificate]
})

type Letter = 'a' | 'b'
const of = (letters: string) => [...letters].map((letter) => ({ a, b })[letter as Letter])
const prints = (letters: string) => of(letters).map(({ fingerprint }) => fingerprint)

interface Row {
  /** `file a`, `print ab`, `none`, or nothing. */
  setting?: string
  /** In the state; undefined: a state of 0.1.0. */
  recorded?: string
  kept?: string
  brought?: string
  chosen: string
  notes: string[]
}

/** Which CA judges clients, by everything that could have a say in it. */
const table: Record<string, Row> = {
  'nothing anywhere': { recorded: '', chosen: '', notes: [] },
  'the folder alone brings one': { recorded: '', brought: 'a', chosen: '', notes: ['client-ca-left-out'] },
  'the folder brings another than the one in service': {
    recorded: 'a',
    kept: 'a',
    brought: 'b',
    chosen: 'a',
    notes: ['client-ca-left-out'],
  },
  'the folder brings one beside the one in service': {
    recorded: 'a',
    kept: 'a',
    brought: 'ab',
    chosen: 'a',
    notes: ['client-ca-left-out'],
  },
  'the folder brings the one in service again': {
    recorded: 'a',
    kept: 'a',
    brought: 'a',
    chosen: 'a',
    notes: [],
  },
  'the one in service stays': { recorded: 'a', kept: 'a', chosen: 'a', notes: [] },
  'deployed/ holds another than the state says': { recorded: 'a', kept: 'b', chosen: '', notes: [] },
  'deployed/ holds another, and the folder brings the one of the state': {
    recorded: 'a',
    kept: 'b',
    brought: 'a',
    chosen: '',
    notes: ['client-ca-left-out'],
  },
  'deployed/ holds half of what the state says': { recorded: 'ab', kept: 'a', chosen: '', notes: [] },
  'a state of 0.1.0 takes over what lies in deployed/': {
    kept: 'a',
    chosen: 'a',
    notes: ['client-ca-taken-over'],
  },
  'a state of 0.1.0, and the folder brings another': {
    kept: 'a',
    brought: 'b',
    chosen: 'a',
    notes: ['client-ca-taken-over', 'client-ca-left-out'],
  },
  'a state of 0.1.0 without one': { brought: 'b', chosen: '', notes: ['client-ca-left-out'] },
  'a file': { setting: 'file a', recorded: 'a', chosen: 'a', notes: [] },
  'a file, and the folder brings another': {
    setting: 'file a',
    recorded: 'a',
    brought: 'b',
    chosen: 'a',
    notes: ['client-ca-left-out'],
  },
  'another file than before': { setting: 'file b', recorded: 'a', chosen: 'b', notes: ['client-ca-changed'] },
  'a first file': { setting: 'file b', recorded: '', chosen: 'b', notes: ['client-ca-changed'] },
  'a fingerprint, brought': { setting: 'print a', recorded: 'a', brought: 'a', chosen: 'a', notes: [] },
  'a fingerprint, kept': { setting: 'print a', recorded: 'a', kept: 'a', chosen: 'a', notes: [] },
  'a fingerprint that nobody has': {
    setting: 'print a',
    recorded: 'b',
    kept: 'b',
    brought: 'b',
    chosen: '',
    notes: ['client-ca-left-out', 'client-ca-changed'],
  },
  'two fingerprints, one from each': {
    setting: 'print ab',
    recorded: 'ab',
    kept: 'a',
    brought: 'b',
    chosen: 'ab',
    notes: [],
  },
  'two fingerprints, one missing': {
    setting: 'print ab',
    recorded: 'ab',
    kept: 'a',
    chosen: '',
    notes: ['client-ca-changed'],
  },
  'none at all, said': {
    setting: 'none',
    recorded: 'a',
    kept: 'a',
    chosen: '',
    notes: ['client-ca-changed'],
  },
  'none at all, and the folder brings one': {
    setting: 'none',
    recorded: '',
    brought: 'a',
    chosen: '',
    notes: ['client-ca-left-out'],
  },
}

function settingOf(text: string | undefined): ClientCaFacts['setting'] {
  if (text === undefined || text === 'none') return text
  const [kind, letters] = text.split(' ') as [string, string]
  return kind === 'file' ? { certificates: of(letters) } : { fingerprints: prints(letters) }
}

function choose({ setting, recorded, kept = '', brought = '' }: Row): Bundle {
  const bare = { digest: '', leaf, chain: [], privateKey: undefined, trustedRootCa: [], repairs: [] }
  return withClientCa(withTrustedRootCa(bare, of(brought)), {
    name: 'shop',
    setting: settingOf(setting),
    recorded: recorded === undefined ? undefined : prints(recorded),
    kept: of(kept),
  })
}

describe('the CA for client certificates', () => {
  it.each(Object.entries(table))('%s', (_, row) => {
    const bundle = choose(row)
    expect(bundle.trustedRootCa.map(({ fingerprint }) => fingerprint)).toEqual(prints(row.chosen))
    expect(bundle.repairs.map(({ code }) => code)).toEqual(row.notes)
    // What is deployed is what the digest is of: the same CA gives the same certificate, however it came.
    const bare = { digest: '', leaf, chain: [], privateKey: undefined, trustedRootCa: [], repairs: [] }
    expect(bundle.digest).toBe(withTrustedRootCa(bare, of(row.chosen)).digest)
  })

  it('is told with its fingerprint and the line to add where it is taken over or left out', () => {
    const [over] = choose(table['a state of 0.1.0 takes over what lies in deployed/']!).repairs
    expect(over?.message).toContain(`clientCa: "${a.fingerprint}"`)
    expect(over?.message).toContain('certificates.shop')
    expect(over?.message).toContain('Clients A')
    const [out] = choose(table['the folder alone brings one']!).repairs
    expect(out?.message).toContain(`clientCa: "${a.fingerprint}"`)
    const [both] = choose({ recorded: '', brought: 'ab', chosen: '', notes: [] }).repairs
    expect(both?.message).toContain(`clientCa: ["${a.fingerprint}", "${b.fingerprint}"]`)
  })

  const domain = (hasTrustedRootCa: boolean, clientVerification: boolean) => [
    { host: 'a.example', binding: { hasTrustedRootCa, clientVerification } },
  ]
  const job = (setting?: string, gateway = {}) =>
    ({
      name: 'shop',
      clientCa: settingOf(setting),
      config: {
        gateways: [{ flavour: 'apig', instanceId: 'i', scope: 'instance', strategy: 'rebind', ...gateway }],
      },
    }) as never
  const codeOf = (act: () => void) => {
    try {
      act()
      return 'fine'
    } catch (thrown) {
      return (thrown as { code: string }).code
    }
  }

  it.each([
    ['nobody verifies', undefined, '', domain(false, false), {}, 'fine'],
    ['somebody verifies, and there is one', undefined, 'a', domain(true, true), {}, 'fine'],
    [
      'somebody verifies, and there is none',
      undefined,
      '',
      domain(true, true),
      {},
      'bundle.client-ca-missing',
    ],
    [
      'a CA is bound although nobody verifies',
      undefined,
      '',
      domain(true, false),
      {},
      'bundle.client-ca-missing',
    ],
    ['a CA is bound, nobody verifies, and none is said', 'none', '', domain(true, false), {}, 'fine'],
    ['somebody verifies, and none is said', 'none', '', domain(true, true), {}, 'bundle.client-ca-missing'],
    [
      'global certificates',
      undefined,
      'a',
      domain(true, true),
      { scope: 'global' },
      'bundle.client-ca-not-possible',
    ],
    [
      'strategy add of APIG',
      undefined,
      'a',
      domain(true, true),
      { strategy: 'add' },
      'bundle.client-ca-not-possible',
    ],
    [
      'strategy add of ROMA',
      undefined,
      'a',
      domain(true, true),
      { strategy: 'add', flavour: 'roma' },
      'fine',
    ],
  ] as const)('is required before anything is touched: %s', (_, setting, chosen, domains, gateway, code) => {
    expect(codeOf(() => requireClientCa(job(setting, gateway), { trustedRootCa: of(chosen) }, domains))).toBe(
      code,
    )
  })
})
