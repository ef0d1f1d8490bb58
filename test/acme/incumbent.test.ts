import { describe, expect, test } from 'vitest'
import {
  type DomainSeen,
  type IncumbentFacts,
  type LeafKnown,
  type LeafSeen,
  standingOf,
} from '../../shared/acme/incumbent.ts'

const at = (day: string, year = 2026) => new Date(`${year}-${day}T12:00:00Z`)
const names = ['api.shop.example', 'www.shop.example']

function known(fingerprint: string, from: string, to: string, more: Partial<LeafKnown> = {}): LeafKnown {
  return { fingerprint, names, notBefore: at(from), notAfter: at(to), algorithm: 'ECC', ...more }
}
/** As a gateway's list shows it: no bytes, no beginning, and no milliseconds. */
function listed({ notAfter, algorithm }: LeafKnown, more: Partial<LeafSeen> = {}): LeafSeen {
  return { names, notAfter, algorithm, ...more }
}
const served = (leaf: LeafKnown, stranger = false) => ({ ...leaf, stranger })

const deployed = known('deployed', '01-01', '04-01')
const issued = known('issued', '03-01', '06-01')
const foreign = known('foreign', '02-01', '03-15')
const api = (more: Omit<DomainSeen, 'host'> = {}): DomainSeen => ({ host: 'api', ...more })
const www = (more: Omit<DomainSeen, 'host'> = {}): DomainSeen => ({ host: 'www', ...more })
const waits = { ...issued, waits: true }
const isOut = { ...issued, waits: false }

interface Row {
  what: string
  facts: Partial<IncumbentFacts>
  /** Fingerprint, witness and domain of the incumbent; undefined: nothing of ours, due now. */
  incumbent: [string, string, string?] | undefined
  inService?: [string, string, string?] | undefined
}

const rows: Row[] = [
  { what: 'nothing at all', facts: {}, incumbent: undefined, inService: undefined },
  { what: 'only pushes: what was deployed', facts: { deployed }, incumbent: ['deployed', 'deployed'] },
  {
    what: 'what was deployed is bound everywhere',
    facts: { deployed, domains: [api({ bound: [listed(deployed)] }), www({ bound: [listed(deployed)] })] },
    incumbent: ['deployed', 'list', 'api'],
  },
  {
    what: 'a handshake agrees with the list',
    facts: { deployed, domains: [api({ bound: [listed(deployed)], served: served(deployed) })] },
    incumbent: ['deployed', 'handshake', 'api'],
  },
  {
    what: 'a stranger answers: the list counts',
    facts: { deployed, domains: [api({ bound: [listed(deployed)], served: served(foreign, true) })] },
    incumbent: ['deployed', 'list', 'api'],
  },
  {
    what: 'a renewed certificate that was refused is nobody’s incumbent',
    facts: { deployed, issued: isOut, domains: [api({ bound: [listed(deployed)] })] },
    incumbent: ['deployed', 'list', 'api'],
  },
  {
    what: 'one that waits in incoming/ is, and what clients are served is known besides',
    facts: { deployed, issued: waits, domains: [api({ bound: [listed(deployed)] })] },
    incumbent: ['issued', 'incoming'],
    inService: ['deployed', 'list', 'api'],
  },
  {
    what: 'deployed and bound: the renewed one is in service',
    facts: { deployed: issued, issued: isOut, domains: [api({ bound: [listed(issued)] })] },
    incumbent: ['issued', 'list', 'api'],
  },
  {
    what: 'rolled back on one domain of two: the nearest end decides',
    facts: {
      deployed: issued,
      issued: isOut,
      earlier: [deployed],
      domains: [api({ bound: [listed(issued)] }), www({ bound: [listed(deployed)] })],
    },
    incumbent: ['deployed', 'list', 'www'],
  },
  {
    what: 'somebody has bound a certificate that ends sooner',
    facts: { deployed, domains: [api({ bound: [listed(deployed)] }), www({ bound: [listed(foreign)] })] },
    incumbent: ['api.shop.example,www.shop.example@2026-03-15T12:00:00.000Z', 'list', 'www'],
  },
  {
    what: 'somebody has bound one that lasts longer, everywhere',
    facts: { deployed, domains: [api({ bound: [listed(known('x', '02-01', '12-01'))] })] },
    incumbent: ['api.shop.example,www.shop.example@2026-12-01T12:00:00.000Z', 'list', 'api'],
  },
  {
    what: 'a bare domain says nothing',
    facts: { deployed, domains: [api({ bound: [] }), www({ bound: [listed(deployed)] })] },
    incumbent: ['deployed', 'list', 'www'],
  },
  {
    what: 'bare everywhere: what was deployed',
    facts: { deployed, domains: [api({ bound: [] })] },
    incumbent: ['deployed', 'deployed'],
  },
  {
    what: 'the list cannot be read: a handshake that shows one of ours',
    facts: { deployed: issued, domains: [api({ served: served(deployed) })] },
    incumbent: ['deployed', 'handshake', 'api'],
  },
  {
    what: 'the list cannot be read and a stranger answers: what was deployed',
    facts: { deployed, domains: [api({ served: served(foreign, true) })] },
    incumbent: ['deployed', 'deployed', 'api'],
  },
  {
    what: 'the list cannot be read and no handshake is possible: what was deployed',
    facts: { deployed, issued: isOut, domains: [api()] },
    incumbent: ['deployed', 'deployed', 'api'],
  },
  {
    what: 'an RSA certificate beside ours is not what a rotation replaces',
    facts: {
      deployed,
      domains: [api({ bound: [listed(foreign, { algorithm: 'RSA' }), listed(deployed)] })],
    },
    incumbent: ['deployed', 'list', 'api'],
  },
  {
    what: 'nothing of ours yet: due now, and the emergency counts from what is bound',
    facts: { domains: [api({ bound: [listed(foreign)] })] },
    incumbent: undefined,
    inService: ['api.shop.example,www.shop.example@2026-03-15T12:00:00.000Z', 'list', 'api'],
  },
  {
    what: 'the first one was refused: still nothing of ours',
    facts: { issued: isOut, domains: [api({ bound: [listed(foreign)] })] },
    incumbent: undefined,
    inService: ['api.shop.example,www.shop.example@2026-03-15T12:00:00.000Z', 'list', 'api'],
  },
  {
    what: 'the first one waits',
    facts: { issued: waits, domains: [api({ bound: [listed(foreign)] })] },
    incumbent: ['issued', 'incoming'],
    inService: ['api.shop.example,www.shop.example@2026-03-15T12:00:00.000Z', 'list', 'api'],
  },
]

describe('what a renewal is counted from', () => {
  test.each(rows)('$what', ({ facts, incumbent, ...row }) => {
    const standing = standingOf({ domains: [], ...facts })
    const shown = (one: (typeof standing)['incumbent']) =>
      one && [one.fingerprint, one.by, ...(one.host === undefined ? [] : [one.host])]
    expect(shown(standing.incumbent)).toEqual(incumbent)
    expect(shown(standing.inService)).toEqual('inService' in row ? row.inService : incumbent)
  })

  test('a beginning that no list says is a handshake’s, else ninety days before the end', () => {
    const domain = { bound: [listed(foreign)] }
    const begun = (seen: DomainSeen) => standingOf({ deployed, domains: [seen] }).incumbent?.notBefore
    expect(begun(api({ ...domain, served: served(foreign) }))).toEqual(foreign.notBefore)
    expect(begun(api({ ...domain, served: served(known('y', '02-01', '05-01'), true) }))).toEqual(
      at('12-15', 2025),
    )
  })

  test('the names to be covered are those that were ordered, whoever has bound what', () => {
    const bound = [listed(foreign, { names: ['other.example'] })]
    expect(standingOf({ deployed, domains: [api({ bound })] }).incumbent?.names).toEqual(names)
  })
})
