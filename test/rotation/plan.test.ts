import { describe, expect, test } from 'vitest'
import { remoteCertificateName } from '../../shared/base/names.ts'
import type { CertificateConfig, GatewayConfig } from '../../shared/config/schema.ts'
import type { BoundCertificate, Gateway, KeyAlgorithm } from '../../shared/gateway/port.ts'
import type { GatewayView } from '../../shared/rotation/plan/look.ts'
import { type PlanFacts, planRotation, type Step, stepKey } from '../../shared/rotation/plan/plan.ts'
import type { RecordedDomain } from '../../shared/rotation/record/domain.ts'
import type { AttachHabit, BundleFacts, CurrentRotation } from '../../shared/rotation/record/state.ts'

/**
 * Facts → steps, and the way back that is recorded beside them. Planning asks nobody, so no cloud is needed:
 * a gateway that is called here is an error.
 */

const NOW = new Date('2026-11-26T12:00:00Z')
const EARLIER = '2026-11-26T11:00:00.000Z'
const GATEWAY = 'apig:gw'
const DOMAIN = 'apig:gw/g1/d1'
const HOST = 'api.shop.example'

const NEW = bundle('new', 'RSA')
const OVERTAKEN = bundle('overtaken', 'RSA')
const OVERTAKEN_EC = bundle('overtaken-ec', 'ECC')

const bound = {
  old: { id: 'old', name: 'bought_last_year', algorithm: 'RSA' },
  oldEc: { id: 'old-ec', name: 'bought_last_year_ec', algorithm: 'ECC' },
  new: { id: 'new', name: nameOf(NEW), algorithm: 'RSA' },
  newOfAdd: { id: 'added', name: remoteCertificateName('shop', `${NEW.digest} ${HOST}`), algorithm: 'RSA' },
  overtaken: { id: 'overtaken', name: nameOf(OVERTAKEN), algorithm: 'RSA' },
  overtakenEc: { id: 'overtaken-ec', name: nameOf(OVERTAKEN_EC), algorithm: 'ECC' },
  stranger: { id: 'stranger', name: 'by_hand', algorithm: 'RSA' },
  strangerEc: { id: 'stranger-ec', name: 'by_hand_ec', algorithm: 'ECC' },
} satisfies Record<string, BoundCertificate>

interface Row {
  name: string
  strategy?: GatewayConfig['strategy']
  /** What the gateway shows on the domain, and its flag. */
  on: BoundCertificate[]
  flag?: boolean
  /** The rotation that was begun last, and what it noted about the domain. */
  of?: BundleFacts
  status?: CurrentRotation['status']
  noted?: Partial<RecordedDomain>
  /** Certificates of this bundle's name at the gateway; default: none yet. */
  existing?: string
  /** Strategy `add`: made for this domain by an earlier run. */
  madeForDomain?: string
  superseded?: string[]
  updated?: string[]
  /** Predecessors that somebody deleted. */
  deleted?: string[]
  /** What the gateway was seen to do, and what the config says. */
  habit?: AttachHabit
  attachFirst?: GatewayConfig['attachFirst']
  steps: string[]
  /** The way back that stands in the state before the first detach; default: not looked at. */
  wayBack?: { predecessor: string | undefined; flag?: boolean; boundAt?: boolean }
}

const table: Row[] = [
  {
    name: 'an old certificate is bound: created, then the two change places',
    on: [bound.old],
    steps: ['create', 'bind: detach, attach; replaces old'],
    wayBack: { predecessor: 'old', flag: false, boundAt: false },
  },
  {
    name: 'nothing is bound: no detach, no way back',
    on: [],
    steps: ['create', 'bind: attach'],
    wayBack: { predecessor: undefined },
  },
  {
    name: 'another algorithm is bound: attached beside it first',
    on: [bound.oldEc],
    steps: ['create', 'bind: attach, detach; replaces old-ec'],
    wayBack: { predecessor: 'old-ec' },
  },
  {
    name: 'one of each algorithm is bound: only that of the same is replaced',
    on: [bound.oldEc, bound.old],
    steps: ['create', 'bind: detach, attach; replaces old'],
    wayBack: { predecessor: 'old' },
  },
  {
    name: 'the certificate was created by a run that died: not a second one',
    on: [bound.old],
    existing: 'new',
    steps: ['bind: detach, attach; replaces old'],
  },
  {
    name: 'bound by a run that died before its note: only the handshake is left',
    on: [bound.new],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old },
    steps: ['verify'],
    wayBack: { predecessor: 'old', boundAt: true },
  },
  {
    name: 'noted as bound, taken off by hand since: bound again',
    on: [],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, boundAt: EARLIER, servedAt: EARLIER },
    steps: ['bind: attach'],
    wayBack: { predecessor: 'old', boundAt: false },
  },
  {
    name: 'in service everywhere: nothing',
    on: [bound.new],
    existing: 'new',
    of: NEW,
    status: 'done',
    noted: { predecessor: bound.old, boundAt: EARLIER, servedAt: EARLIER },
    steps: [],
  },

  // Which goes first.
  {
    name: 'auto, nothing known: the first domain attaches first',
    attachFirst: 'auto',
    on: [bound.old],
    steps: ['create', 'bind: attach, detach; replaces old'],
  },
  {
    name: 'auto, the gateway refuses two: the first domain tries again, every time',
    attachFirst: 'auto',
    habit: 'refuses',
    on: [bound.old],
    steps: ['create', 'bind: attach, detach; replaces old'],
  },
  {
    name: 'always: attach first',
    attachFirst: 'always',
    habit: 'refuses',
    on: [bound.old],
    steps: ['create', 'bind: attach, detach; replaces old'],
  },
  {
    name: 'never: detach first, whatever the gateway would take',
    attachFirst: 'never',
    habit: 'replaces',
    on: [bound.old],
    steps: ['create', 'bind: detach, attach; replaces old'],
  },
  {
    name: 'add, auto: attach first as well',
    strategy: 'add',
    attachFirst: 'auto',
    on: [bound.old],
    steps: ['add: attach, detach; replaces old'],
  },

  // What cannot be undone any more.
  {
    name: 'given up, old and new deleted by hand: begun anew',
    on: [],
    of: NEW,
    noted: { predecessor: bound.old, givenUp: failure() },
    deleted: ['old'],
    steps: ['create', 'bind: attach'],
    wayBack: { predecessor: undefined, boundAt: false },
  },
  {
    name: 'given up, the old one deleted, the new one there: an undo that ends by leaving it',
    on: [],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, givenUp: failure() },
    deleted: ['old'],
    steps: ['restore'],
  },
  {
    name: 'given up and known to have no way back: left alone',
    on: [bound.new],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, boundAt: EARLIER, givenUp: failure(), noUndo: failure() },
    steps: [],
  },

  // (a) Certificates of an overtaken bundle do not stay beside the new one.
  {
    name: 'overtaken, of another algorithm, beside an old one: both go',
    on: [bound.old, bound.overtakenEc],
    of: OVERTAKEN_EC,
    noted: { predecessor: bound.old },
    superseded: ['overtaken-ec'],
    steps: ['create', 'bind: detach, attach; replaces old; besides overtaken-ec'],
    wayBack: { predecessor: 'old' },
  },
  {
    name: 'overtaken, of the algorithm of the new one, beside an old one of another: the old one is replaced',
    on: [bound.oldEc, bound.overtaken],
    of: OVERTAKEN,
    noted: { predecessor: bound.oldEc },
    superseded: ['overtaken'],
    steps: ['create', 'bind: attach, detach; replaces old-ec; besides overtaken'],
    wayBack: { predecessor: 'old-ec' },
  },
  {
    name: 'overtaken beside an old one, both of another algorithm than the new one: both go',
    on: [bound.overtakenEc, bound.oldEc],
    of: OVERTAKEN_EC,
    noted: { predecessor: bound.oldEc },
    superseded: ['overtaken-ec'],
    steps: ['create', 'bind: attach, detach; replaces old-ec; besides overtaken-ec'],
    wayBack: { predecessor: 'old-ec' },
  },
  {
    name: 'left by a rotation before the one that was begun last, beside the old one of another algorithm: both go',
    on: [bound.oldEc, bound.overtaken],
    of: OVERTAKEN_EC,
    noted: { predecessor: bound.oldEc },
    superseded: ['overtaken'],
    steps: ['create', 'bind: attach, detach; replaces old-ec; besides overtaken'],
    wayBack: { predecessor: 'old-ec' },
  },
  {
    name: 'overtaken, of another algorithm, beside the new one: detached',
    on: [bound.new, bound.overtakenEc],
    existing: 'new',
    of: NEW,
    noted: { boundAt: EARLIER, servedAt: EARLIER },
    superseded: ['overtaken-ec'],
    steps: ['bind: attach of new; besides overtaken-ec'],
  },
  {
    name: 'old and overtaken beside the new one: both detached',
    on: [bound.new, bound.oldEc, bound.overtakenEc],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.oldEc, boundAt: EARLIER },
    superseded: ['overtaken-ec'],
    steps: ['bind: attach, detach of new; replaces old-ec; besides overtaken-ec'],
  },
  {
    name: 'not ours, of another algorithm, beside the new one: stays',
    on: [bound.new, bound.strangerEc],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, boundAt: EARLIER, servedAt: EARLIER },
    superseded: ['overtaken-ec'],
    steps: [],
  },
  {
    name: 'not ours, in the place of the old one of another algorithm, beside the unproven new one: that goes',
    on: [bound.strangerEc, bound.new],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.oldEc },
    steps: ['bind: attach, detach of new; replaces stranger-ec'],
    wayBack: { predecessor: 'stranger-ec' },
  },
  {
    name: 'update, overtaken of another algorithm beside: detached with the update',
    strategy: 'update',
    on: [bound.old, bound.overtakenEc],
    superseded: ['overtaken-ec'],
    steps: [`update old for ${DOMAIN}; besides overtaken-ec`],
  },
  {
    name: 'update, overtaken of the algorithm of the new one beside an old one of another: bound, and both go',
    strategy: 'update',
    on: [bound.oldEc, bound.overtaken],
    of: OVERTAKEN,
    noted: { predecessor: bound.oldEc },
    superseded: ['overtaken'],
    steps: ['create', 'bind: attach, detach; replaces old-ec; besides overtaken'],
    wayBack: { predecessor: 'old-ec' },
  },
  {
    name: 'update done, overtaken still beside: detached',
    strategy: 'update',
    on: [bound.old, bound.overtakenEc],
    of: NEW,
    noted: { predecessor: bound.old, boundAt: EARLIER, servedAt: EARLIER },
    superseded: ['overtaken-ec'],
    updated: ['old'],
    steps: ['bind: attach of old; besides overtaken-ec'],
  },
  {
    name: 'update, bound since nothing of its algorithm could be updated: what it replaces is still beside it',
    strategy: 'update',
    on: [bound.oldEc, bound.new],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.oldEc },
    updated: ['new'],
    steps: ['bind: attach, detach of new; replaces old-ec'],
  },
  {
    name: 'add, overtaken of another algorithm beside an old one: both go',
    strategy: 'add',
    on: [bound.old, bound.overtakenEc],
    superseded: ['overtaken-ec'],
    steps: ['add: detach, attach; replaces old; besides overtaken-ec'],
  },
  {
    name: 'add done, overtaken still beside: detached',
    strategy: 'add',
    on: [bound.newOfAdd, bound.overtakenEc],
    of: NEW,
    noted: { boundAt: EARLIER, servedAt: EARLIER },
    superseded: ['overtaken-ec'],
    steps: ['bind: attach of added; besides overtaken-ec'],
  },

  {
    name: 'what the overtaken one was to replace, uploaded again: it is no way back from itself and is not detached',
    on: [bound.new],
    existing: 'new',
    of: OVERTAKEN,
    noted: { predecessor: bound.new },
    steps: [`verify`],
    wayBack: { predecessor: undefined, boundAt: true },
  },

  // (b) A wrong client-verification flag is put right, with the certificate that is bound.
  {
    name: 'rebind: bound, but clients are no longer asked for a certificate',
    on: [bound.new],
    flag: false,
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, clientVerification: true, boundAt: EARLIER, servedAt: EARLIER },
    steps: ['bind: attach of new'],
    wayBack: { predecessor: 'old', flag: true },
  },
  {
    name: 'rebind: bound, but clients are asked for a certificate now',
    on: [bound.new],
    flag: true,
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, clientVerification: false, boundAt: EARLIER, servedAt: EARLIER },
    steps: ['bind: attach of new'],
    wayBack: { predecessor: 'old', flag: false },
  },
  {
    name: 'update: the service switched verification off',
    strategy: 'update',
    on: [bound.old],
    flag: false,
    of: NEW,
    noted: { predecessor: bound.old, clientVerification: true, boundAt: EARLIER, servedAt: EARLIER },
    updated: ['old'],
    steps: ['bind: attach of old'],
    wayBack: { predecessor: 'old', flag: true },
  },
  {
    name: 'add: the flag of the created certificate is wrong',
    strategy: 'add',
    on: [bound.newOfAdd],
    flag: false,
    of: NEW,
    noted: { predecessor: bound.old, clientVerification: true, boundAt: EARLIER, servedAt: EARLIER },
    steps: ['bind: attach of added'],
    wayBack: { predecessor: 'old', flag: true },
  },

  // (c) What a rotation that never proved itself hands on, and when it does not.
  {
    name: 'overtaken before it was proven: its way back is ours',
    on: [bound.overtaken],
    of: OVERTAKEN,
    noted: { predecessor: bound.old, clientVerification: true, boundAt: EARLIER },
    superseded: ['overtaken'],
    steps: ['create', 'bind: detach, attach; replaces overtaken'],
    wayBack: { predecessor: 'old', flag: true },
  },
  {
    name: 'overtaken before it touched the domain: its way back is ours',
    on: [bound.old],
    of: OVERTAKEN,
    noted: { predecessor: bound.old },
    steps: ['create', 'bind: detach, attach; replaces old'],
    wayBack: { predecessor: 'old' },
  },
  {
    name: 'overtaken while the domain was bare: its way back is ours',
    on: [],
    of: OVERTAKEN,
    noted: { predecessor: bound.old },
    steps: ['create', 'bind: attach'],
    wayBack: { predecessor: 'old' },
  },
  {
    name: 'overtaken unproven, and somebody has bound another: that is the way back',
    on: [bound.stranger],
    flag: false,
    of: OVERTAKEN,
    noted: { predecessor: bound.old, clientVerification: true, boundAt: EARLIER },
    superseded: ['overtaken'],
    steps: ['create', 'bind: detach, attach; replaces stranger'],
    wayBack: { predecessor: 'stranger', flag: false },
  },
  {
    name: 'overtaken unproven, and somebody has bound another beside it: the flag is that of now',
    on: [bound.overtaken, bound.strangerEc],
    flag: true,
    of: OVERTAKEN,
    noted: { predecessor: bound.old, clientVerification: false, boundAt: EARLIER },
    superseded: ['overtaken'],
    steps: ['create', 'bind: detach, attach; replaces overtaken'],
    wayBack: { predecessor: 'overtaken', flag: true },
  },
  {
    name: 'overtaken after a handshake showed it: it is the way back itself',
    on: [bound.overtaken],
    of: OVERTAKEN,
    noted: { predecessor: bound.old, boundAt: EARLIER, servedAt: EARLIER },
    superseded: ['overtaken'],
    steps: ['create', 'bind: detach, attach; replaces overtaken'],
    wayBack: { predecessor: 'overtaken' },
  },
  {
    name: 'overtaken, bound where no handshake is possible: it is the way back itself',
    on: [bound.overtaken],
    of: OVERTAKEN,
    noted: { predecessor: bound.old, boundAt: EARLIER, unverified: 'no route' },
    superseded: ['overtaken'],
    steps: ['create', 'bind: detach, attach; replaces overtaken'],
    wayBack: { predecessor: 'overtaken' },
  },
  {
    name: 'the same bundle, and somebody has bound another: that is the way back now',
    on: [bound.stranger],
    flag: true,
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, clientVerification: false },
    steps: ['bind: detach, attach; replaces stranger'],
    wayBack: { predecessor: 'stranger', flag: true },
  },

  {
    name: 'given up, its predecessor not back yet: put back before anything else',
    on: [bound.new],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, boundAt: EARLIER, givenUp: failure() },
    steps: ['restore'],
  },
  {
    name: 'given up and put back: left alone',
    on: [bound.old],
    existing: 'new',
    of: NEW,
    noted: { predecessor: bound.old, givenUp: failure(), restoredAt: EARLIER },
    steps: [],
  },
  {
    name: 'concluded as failed and asked for again: the decision is forgotten, the way back is not',
    on: [bound.old],
    existing: 'new',
    of: NEW,
    status: 'failed',
    noted: { predecessor: bound.old, givenUp: failure(), restoredAt: EARLIER },
    steps: ['bind: detach, attach; replaces old'],
    wayBack: { predecessor: 'old' },
  },
  {
    name: 'update: the content is replaced where it is bound',
    strategy: 'update',
    on: [bound.old],
    steps: [`update old for ${DOMAIN}`],
    wayBack: { predecessor: 'old' },
  },
  {
    name: 'update, nothing bound: there is nothing to update, so it is bound',
    strategy: 'update',
    on: [],
    steps: ['create', 'bind: attach'],
  },
  {
    name: 'add: created and bound in one call',
    strategy: 'add',
    on: [bound.old],
    steps: ['add: detach, attach; replaces old'],
  },
  {
    name: 'add, made by an earlier run and taken off since: not a second one',
    strategy: 'add',
    on: [bound.old],
    madeForDomain: 'added',
    steps: ['bind: detach, attach of added; replaces old'],
  },
]

describe('facts → steps', () => {
  test.each(table)('$name', (row) => {
    const facts = factsOf(row)
    const plan = planRotation(facts)
    expect(plan.steps.map(inWords)).toEqual(row.steps)
    if (!row.wayBack) return
    const record = plan.domains[DOMAIN]!
    expect(record.predecessor?.id).toBe(row.wayBack.predecessor)
    if (row.wayBack.flag !== undefined) expect(record.clientVerification).toBe(row.wayBack.flag)
    if (row.wayBack.boundAt !== undefined) expect(record.boundAt !== undefined).toBe(row.wayBack.boundAt)
  })

  test('pushes: imported once, each target once, and only what is not noted as done', () => {
    const push: CertificateConfig['push'] = [
      { service: 'CDN', project: 'eu-de' },
      { service: 'ELB', project: 'eu-de' },
    ]
    const facts = { ...factsOf({ name: '', on: [bound.new], existing: 'new', steps: [] }), hasManager: true }
    const config = { ...facts.config, push }
    const pushes = (some: PlanFacts) =>
      planRotation(some)
        .steps.map(inWords)
        .filter((step) => /^(import|push)/.test(step))
    expect(pushes({ ...facts, config })).toEqual(['import', 'push CDN', 'push ELB'])
    expect(pushes({ ...facts, config, hasManager: false })).toEqual([])

    const current = rotation(NEW, 'running', {})
    const done = (step: string, target: string) => {
      current.notes[stepKey(facts, step, target)] = { step, target, at: EARLIER }
    }
    done('import', 'scm')
    done('push', 'CDN:eu-de')
    expect(pushes({ ...facts, config, current })).toEqual(['import', 'push ELB'])
    done('push', 'ELB:eu-de')
    expect(pushes({ ...facts, config, current })).toEqual([])
    expect(pushes({ ...facts, config, current: { ...current, bundle: OVERTAKEN } })).toHaveLength(3)
  })
})

function factsOf(row: Row): PlanFacts {
  const config = {
    flavour: 'apig',
    instanceId: 'gw',
    scope: 'instance',
    strategy: row.strategy ?? 'rebind',
    attachFirst: row.attachFirst ?? 'never',
    updateWithoutWayBack: false,
    domains: [HOST],
  } as GatewayConfig
  const binding = {
    groupId: 'g1',
    domainId: 'd1',
    host: HOST,
    certificates: row.on,
    clientVerification: row.flag ?? row.noted?.clientVerification ?? false,
    hasTrustedRootCa: false,
  }
  const view: GatewayView = {
    key: GATEWAY,
    config,
    gateway: askingNobody,
    missing: [],
    domains: [{ target: DOMAIN, host: HOST, binding, probe: undefined }],
  }
  const madeName = remoteCertificateName('shop', `${NEW.digest} ${HOST}`)
  return {
    certificateName: 'shop',
    config: { gateways: [config], push: [] } as unknown as CertificateConfig,
    bundle: NEW,
    views: [view],
    current: row.of && rotation(row.of, row.status ?? 'running', row.noted ?? {}),
    existing: row.existing ? { [GATEWAY]: row.existing } : {},
    made: row.madeForDomain ? { [madeName]: row.madeForDomain } : {},
    superseded: new Set(row.superseded),
    updated: new Set(row.updated),
    deleted: new Set(row.deleted),
    gateways: row.habit ? { [GATEWAY]: { attach: row.habit } } : {},
    hasManager: false,
    now: NOW,
  }
}

function rotation(
  of: BundleFacts,
  status: CurrentRotation['status'],
  noted: Partial<RecordedDomain>,
): CurrentRotation {
  const record: RecordedDomain = {
    gateway: GATEWAY,
    groupId: 'g1',
    domainId: 'd1',
    host: HOST,
    clientVerification: false,
    hasTrustedRootCa: false,
    ...noted,
  }
  const certificates = { [GATEWAY]: of.digest }
  return {
    bundle: of,
    remoteName: nameOf(of),
    startedAt: EARLIER,
    status,
    domains: { [DOMAIN]: record },
    certificates,
    notes: {},
  }
}

/** One step as the table writes it. */
function inWords(step: Step): string {
  const ids = (some: BoundCertificate[] = []) => some.map(({ id }) => id).join(', ')
  switch (step.kind) {
    case 'bind':
    case 'add': {
      const of = step.certificateId ? ` of ${step.certificateId}` : ''
      const replaces = step.replaces ? `; replaces ${step.replaces.id}` : ''
      const besides = step.besides ? `; besides ${ids(step.besides)}` : ''
      return `${step.kind}: ${step.order}${of}${replaces}${besides}`
    }
    case 'update': {
      const besides = ids(Object.values(step.besides).flat())
      return `update ${step.certificate.id} for ${step.domains.join(', ')}${besides ? `; besides ${besides}` : ''}`
    }
    case 'push':
      return `push ${step.target.service}`
    default:
      return step.kind
  }
}

const askingNobody = new Proxy({} as Gateway, {
  get(_, property) {
    throw new Error(`planning asked a gateway: ${String(property)}`)
  },
})

/** The digest doubles as the id of its certificate, so that rows can be read. */
function bundle(digest: string, algorithm: KeyAlgorithm): BundleFacts {
  return {
    digest,
    fingerprint: `${digest}-leaf`,
    chain: [`${digest}-leaf`],
    serial: digest,
    commonName: HOST,
    names: [HOST],
    notBefore: '2026-11-01T00:00:00.000Z',
    notAfter: '2027-02-01T00:00:00.000Z',
    algorithm,
  }
}

function nameOf(of: BundleFacts): string {
  return remoteCertificateName('shop', of.digest)
}

function failure() {
  return { code: 'served.not-new', kind: 'never' as const, message: 'not served', next: '', facts: {} }
}
