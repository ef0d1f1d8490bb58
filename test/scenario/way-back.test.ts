import { afterEach, describe, expect, it } from 'vitest'
import { day, hour } from '../../shared/base/clock.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { seedFor } from '../support/cloud.ts'
import { codes, Story, type StoryOptions, statuses } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example', 'c.shop.example']
const FORBIDDEN = { status: 403, errorCode: 'APIG.1005' }
const EXPIRED = { status: 400, errorCode: 'APIG.2102' }

let story: Story
afterEach(() => story.close())

async function begin(options: StoryOptions = {}) {
  story = await Story.start({ apig: hosts, roma: [], rest: { concurrency: 1 }, ...options })
  return { before: story.cloud.bound(), bundle: await story.drop() }
}
const all = (fingerprint: string) => Object.fromEntries(hosts.map((host) => [host, [fingerprint]]))
/** The calls about one domain. */
const at = (host: string) =>
  `*${story.cloud.emulator.state().bindings.find((binding) => binding.host === host)?.domainId}*`
const signal = () => {
  const one = { given: false, give: () => {}, promise: Promise.resolve() }
  one.promise = new Promise<void>((resolve) => {
    one.give = () => {
      one.given = true
      resolve()
    }
  })
  return one
}
const nothingWasTouched = () => {
  expect(story.cloud.effects()).toEqual({})
  expect(story.cloud.emulator.state().gaps).toEqual([])
}

describe('the way back', () => {
  it('is rehearsed at each gateway before anything is created there, and at each domain once', async () => {
    await begin({ roma: ['erp.shop.example'] })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    const order = story.changes()
    for (const flavour of ['apig', 'roma'])
      expect(order.indexOf(`${flavour}.attachCertificate`)).toBeLessThan(
        order.indexOf(`${flavour}.createCertificate`),
      )
    expect(outcome?.gateways).toMatchObject([
      { attach: 'refuses', wayBack: 'proven' },
      { attach: 'refuses', wayBack: 'proven' },
    ])
    expect((await story.results('deployed'))[0]?.gateways).toEqual(outcome?.gateways)
    // Rehearsal, first try and the real one at the canary; rehearsal and the real one at the others.
    expect(story.called('apig.attachCertificate')).toBe(7)
    expect(story.called('roma.attachCertificate')).toBe(3)
  })

  it('that a key may not take ends the run untouched, names the permission, and is tried again', async () => {
    const { before, bundle } = await begin()
    story.fault('apig.attachCertificate', { status: 403, errorCode: 'APIG.1005' })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed' })
    expect(codes(outcome)).toEqual(['rotation.way-back-refused'])
    expect(outcome?.failures[0]?.message).toMatch(/^a\.shop\.example: .*APIG\.1005/)
    expect(outcome?.failures[0]?.next).toContain('apig:domains:bindCertificate')
    expect(outcome?.failures[0]?.facts.requestId).toBeTruthy()
    nothingWasTouched()
    expect(story.cloud.bound()).toEqual(before)
    story.cloud.emulator.faults.clear()
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('of a domain that is served by our hand is not rehearsed again by later runs', async () => {
    const { bundle } = await begin()
    // Everything but the first domain waits for the next run.
    const stop = new AbortController()
    story.cloud.emulator.intercept((stage, call) => {
      if (stage === 'done' && call.route === 'apig.detachCertificate') stop.abort()
    })
    const short = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(short))[0]).toMatchObject({ status: 'unfinished' })
    story.cloud.emulator.clearCalls()
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    // The second domain tries to attach first, as the first of its run does; each of the two proves its own way back.
    expect(story.called('apig.attachCertificate')).toBe(5)
  })

  it('that is refused at one domain keeps its certificate there, and stops every new detach', async () => {
    const { before, bundle } = await begin()
    story.fault('apig.attachCertificate', FORBIDDEN, { path: at('b.shop.example') })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed' })
    expect(codes(outcome)).toEqual(['rotation.way-back-refused'])
    expect(statuses(outcome)).toEqual({
      'a.shop.example': 'served',
      'b.shop.example': 'failed',
      'c.shop.example': 'untouched',
    })
    expect(story.cloud.bound()).toEqual({ ...before, 'a.shop.example': [bundle.fingerprint] })
    expect(story.called('apig.detachCertificate')).toBe(1)
    expect(await story.cloud.keys()).toContain('incoming/shop/fullchain.pem')
    story.cloud.emulator.faults.clear()
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('that works where nothing may be detached fails the try, and waits with until when and why', async () => {
    const { before, bundle } = await begin()
    story.fault('apig.detachCertificate', FORBIDDEN)
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed' })
    expect(codes(outcome)).toEqual(['gateway.forbidden'])
    expect((await story.tick())[0]).toMatchObject({
      status: 'unfinished',
      failures: [{ code: 'rotation.waits' }],
    })
    expect(story.cloud.bound()).toEqual(before)
    story.cloud.emulator.faults.clear()
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('that failed is told by a run that has no bundle any more, too', async () => {
    await begin()
    story.fault('apig.attachCertificate', { status: 204, effect: 'none' }, { from: 3 })
    await story.tick()
    for (const { key } of await story.cloud.store.list('incoming/')) await story.cloud.store.delete(key)
    const report = await rotateUploads(story.wiring, story.parties(), { byPerson: false })
    expect(report.outcomes).toMatchObject([{ failures: [{ code: 'rotation.bundle-gone' }] }])
    expect(report.critical?.[0]?.lines.map(({ value }) => value).join()).toContain('a.shop.example')
    expect(exitStatus(report)).toBe(1)
  })

  it('that worked does not let a detach begin once the new certificate was refused elsewhere', async () => {
    const { before, bundle } = await begin({ rest: { concurrency: 2 } })
    const [b, c] = [at('b.shop.example'), at('c.shop.example')].map((path) => path.slice(1, -1))
    // Its own rehearsal is the first there.
    story.fault('apig.attachCertificate', FORBIDDEN, { path: at('b.shop.example'), nth: 2 })
    const undoBegins = signal()
    const othersGoOn = signal()
    let attachesAtB = 0
    story.cloud.emulator.intercept(async (stage, call) => {
      const attach = call.route === 'apig.attachCertificate'
      if (stage === 'done' && attach && call.path.includes(c!)) await undoBegins.promise
      if (stage === 'done' && !call.mutating && undoBegins.given) othersGoOn.give()
      if (stage !== 'arrived' || !attach || !call.path.includes(b!) || ++attachesAtB < 3) return
      undoBegins.give()
      await othersGoOn.promise
    })
    const [outcome] = await story.tick()
    expect(statuses(outcome)).toEqual({
      'a.shop.example': 'served',
      'b.shop.example': 'restored',
      'c.shop.example': 'untouched',
    })
    expect(story.cloud.bound()).toEqual({ ...before, 'a.shop.example': [bundle.fingerprint] })
    expect(story.called('apig.detachCertificate')).toBe(2)
  })

  it('of a bare domain needs no rehearsal', async () => {
    const { bundle } = await begin({ apig: ['a.shop.example'] })
    story.cloud.emulator.bind('a.shop.example', null)
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.called('apig.attachCertificate')).toBe(1)
    expect(story.cloud.bound()).toEqual({ 'a.shop.example': [bundle.fingerprint] })
  })

  it('of others keeps no bare domain waiting', async () => {
    const { bundle, before } = await begin({ rules: { visibilityDelayMs: 0, attachAgain: 'refuse' } })
    const last = 'c.shop.example'
    story.cloud.emulator.bind(last, null)
    for (let run = 0; run < 2; run++) {
      const [outcome] = await story.ask()
      expect(outcome).toMatchObject({ status: 'failed' })
      expect(codes(outcome)[0]).toBe('rotation.no-proven-way-back')
      expect(story.cloud.bound()).toEqual({ ...before, [last]: [bundle.fingerprint] })
    }
    expect(await story.cloud.store.list('incoming/')).not.toEqual([])
    expect(story.called('apig.detachCertificate')).toBe(0)
  })

  it('of what somebody binds after the rehearsal is proven before it is detached', async () => {
    const { before } = await begin({ apig: ['a.shop.example'] })
    const old = story.cloud.emulator.state().bindings[0]!.certificates[0]!.id
    story.cloud.emulator.bind('a.shop.example', null)
    const stop = story.cloud.emulator.intercept((stage, call) => {
      if (stage !== 'arrived' || call.route !== 'apig.attachCertificate') return
      stop()
      story.cloud.emulator.bind('a.shop.example', old)
    })
    story.fault('apig.attachCertificate', EXPIRED, { nth: 2 })
    const [outcome] = await story.tick()
    expect(codes(outcome)).toEqual(['rotation.no-proven-way-back'])
    expect(story.called('apig.detachCertificate')).toBe(0)
    expect(story.cloud.bound()).toEqual(before)
  })

  it('of what somebody binds before the rehearsal is noted: the next run finds it in its place, and puts nothing else back', async () => {
    const host = 'a.shop.example'
    const seed = seedFor([host], [])
    seed.certificates!.push({
      ref: 'other',
      name: 'cert_other',
      generate: { names: [host], notAfter: '+20d' },
    })
    story = await Story.start({ apig: [host], roma: [], seed })
    const { emulator } = story.cloud
    const bundle = await emulator.intermediate.issue({
      names: [host],
      key: 'RSA-2048',
      notBefore: new Date(emulator.clock.now().getTime() - hour),
      notAfter: new Date(emulator.clock.now().getTime() + 90 * day),
    })
    await story.cloud.drop(bundle)
    const other = emulator.state().certificates.find(({ name }) => name === 'cert_other')!
    const stop = new AbortController()
    let attached = 0
    const forget = emulator.intercept((stage, call) => {
      // After the plan was made, and before what is bound is attached again as it is.
      if (stage === 'arrived' && call.route === 'apig.showGroup') emulator.bind(host, other.id)
      if (stage === 'done' && call.route === 'apig.attachCertificate' && ++attached === 2) {
        forget()
        stop.abort()
      }
    })
    const deadline = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(deadline))[0]).toMatchObject({ status: 'unfinished' })
    expect(new Set(story.cloud.bound()[host])).toEqual(new Set([other.fingerprint, bundle.fingerprint]))
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated', failures: [] })
    expect(story.cloud.bound()).toEqual({ [host]: [bundle.fingerprint] })
  })

  it('of a domain that is gone is another domain’s', async () => {
    const { before, bundle } = await begin()
    story.fault('apig.attachCertificate', { status: 404, errorCode: 'APIG.3020' }, { nth: 1 })
    const [outcome] = await story.tick()
    expect(statuses(outcome)).toEqual({
      'a.shop.example': 'failed',
      'b.shop.example': 'served',
      'c.shop.example': 'served',
    })
    expect(story.cloud.bound()).toEqual({
      ...all(bundle.fingerprint),
      'a.shop.example': before['a.shop.example'],
    })
  })

  it('of domains that are all gone ends the run untouched', async () => {
    await begin()
    story.fault('apig.attachCertificate', { status: 404, errorCode: 'APIG.3020' })
    expect((await story.tick())[0]).toMatchObject({ status: 'failed' })
    nothingWasTouched()
  })

  it('that the gateway refuses for a valid certificate keeps it until shortly before its end', async () => {
    const { before, bundle } = await begin()
    // The old one only, and never the new one: the certificate's own end decides.
    const refuseOld = () => story.fault('apig.attachCertificate', EXPIRED, { nth: 1 })
    refuseOld()
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed' })
    expect(codes(outcome)).toEqual(['rotation.no-proven-way-back'])
    expect(story.cloud.bound()).toEqual(before)
    expect(story.called('apig.detachCertificate')).toBe(0)
    // Ten days of ninety were left; the last week is the emergency.
    story.clock.advance(4 * 86_400_000)
    refuseOld()
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    expect(story.copies(bundle)).toBe(1)
  })

  it('that is refused for a valid certificate is not missed where the gateway replaces', async () => {
    const { bundle } = await begin({ rules: { visibilityDelayMs: 0, attachOverOther: 'replace' } })
    story.fault('apig.attachCertificate', EXPIRED, { nth: 1 })
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated', gateways: [{ attach: 'replaces' }] })
    expect(story.called('apig.detachCertificate')).toBe(0)
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    expect(story.cloud.emulator.state().gaps).toEqual([])
  })

  it('is not needed by an expired certificate that cannot be attached: it is replaced', async () => {
    const { bundle } = await begin()
    await story.cloud.emulator.reset({
      ...seedOf(hosts),
      certificates: [{ ref: 'old', generate: { names: hosts, notBefore: '-91d', notAfter: '-1d' } }],
    })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated', gateways: [{ wayBack: 'none' }] })
    expect(outcome?.gateways?.[0]?.sentence).toContain('APIG.2102')
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('is asked for again where ROMA refuses to attach what is attached, and nothing is detached', async () => {
    const { before } = await begin({
      apig: [],
      roma: ['erp.shop.example'],
      rules: { visibilityDelayMs: 0, attachAgain: 'roma-refuses' },
    })
    const [outcome] = await story.tick()
    expect(codes(outcome)).toEqual(['rotation.no-proven-way-back'])
    expect(story.cloud.bound()).toEqual(before)
    expect(story.called('roma.detachCertificate')).toBe(0)
  })
})

describe('an attach beside the old certificate', () => {
  for (const [rule, attach] of [
    ['replace', 'replaces'],
    ['keep-both', 'keeps both'],
  ] as const)
    it(`that the gateway takes (${rule}) has no gap, at any domain, and is remembered`, async () => {
      const { bundle } = await begin({
        roma: ['erp.shop.example'],
        rules: { visibilityDelayMs: 0, attachOverOther: rule },
      })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rotated', gateways: [{ attach }, { attach }] })
      expect(new Set(Object.values(story.cloud.bound()).flat())).toEqual(new Set([bundle.fingerprint]))
      expect(Object.values(story.cloud.bound()).every((bound) => bound.length === 1)).toBe(true)
      expect(story.cloud.emulator.state().gaps).toEqual([])
      expect((await story.state()).gateways).toMatchObject({
        'apig:f0fa1789-3b76-433b-a787-9892951c620e': { attach },
      })
    })

  it('is found out anew by each rotation: a gateway that no longer takes it is unlearnt', async () => {
    await begin({ rules: { visibilityDelayMs: 0, attachOverOther: 'replace' } })
    await story.tick()
    story.cloud.emulator.setRules({ attachOverOther: 'refuse' })
    const bundle = await story.drop()
    expect((await story.tick()).at(-1)).toMatchObject({
      status: 'rotated',
      gateways: [{ attach: 'refuses' }],
    })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    expect(story.called('apig.detachCertificate')).toBe(3)
  })

  it('is tried again by each rotation: a gateway that takes it by now is learnt, and has no gap', async () => {
    await begin({ apig: ['a.shop.example'] })
    await story.tick()
    expect(story.cloud.emulator.state().gaps).toHaveLength(1)
    story.cloud.emulator.setRules({ attachOverOther: 'replace' })
    await story.drop()
    expect((await story.tick()).at(-1)).toMatchObject({
      status: 'rotated',
      gateways: [{ attach: 'replaces' }],
    })
    expect(story.cloud.emulator.state().gaps).toHaveLength(1)
  })

  const keepingBoth = async () => {
    const rules = { visibilityDelayMs: 0, attachOverOther: 'keep-both' } as const
    const begun = await begin({ apig: ['a.shop.example'], rules })
    const [old] = story.cloud.emulator.state().bindings[0]!.certificates
    return { ...begun, old: old!.id }
  }

  it('that is answered and not shown takes nothing off', async () => {
    const { before, bundle, old } = await keepingBoth()
    let attaches = 0
    const stop = story.cloud.emulator.intercept((stage, call) => {
      // The rehearsal is the first.
      if (stage !== 'done' || call.route !== 'apig.attachCertificate' || ++attaches < 2) return
      stop()
      story.cloud.emulator.bind('a.shop.example', old)
    })
    const [outcome] = await story.tick()
    expect(codes(outcome)).toEqual(['rotation.attach-without-effect'])
    expect(story.called('apig.detachCertificate')).toBe(0)
    expect(story.cloud.bound()).toEqual(before)
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual({ 'a.shop.example': [bundle.fingerprint] })
  })

  it('that is gone once the old one is detached is seen at once: the old one comes back', async () => {
    const { before, bundle } = await keepingBoth()
    const stop = story.cloud.emulator.intercept((stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      stop()
      story.cloud.emulator.bind('a.shop.example', null)
    })
    const [outcome] = await story.tick()
    expect(codes(outcome)).toEqual(['rotation.attach-without-effect'])
    expect(story.cloud.bound()).toEqual(before)
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual({ 'a.shop.example': [bundle.fingerprint] })
  })

  it('that is refused with anything but 2051 has touched nothing', async () => {
    const { before } = await begin()
    story.fault('apig.attachCertificate', { status: 400, errorCode: 'APIG.2104' }, { from: 2 })
    await story.tick()
    expect(story.cloud.bound()).toEqual(before)
    expect(story.called('apig.detachCertificate')).toBe(0)
  })

  it('is not tried where the config says never', async () => {
    await begin({ gateway: { attachFirst: false } })
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    // The rehearsal and the real one at each domain.
    expect(story.called('apig.attachCertificate')).toBe(6)
  })
})

describe('an undo', () => {
  const neverServed = (fingerprint: string) => {
    story.change = (parties) => ({
      ...parties,
      probe: {
        handshake: async (target, signal) => {
          const really = await parties.probe.handshake(target, signal)
          return really.reached && really.served?.fingerprint === fingerprint
            ? { reached: true, served: undefined, reason: 'alert' }
            : really
        },
      },
    })
  }
  const admin = (path: string) =>
    fetch(`${story.cloud.emulator.url}/__emulator/${path}`, { method: 'DELETE' })

  for (const rule of ['replace', 'keep-both'] as const)
    it(`attaches the old one first where the gateway takes it (${rule}): no gap`, async () => {
      const { before, bundle } = await begin({ rules: { visibilityDelayMs: 0, attachOverOther: rule } })
      neverServed(bundle.fingerprint)
      expect((await story.tick())[0]).toMatchObject({ status: 'rolled back' })
      expect(story.cloud.bound()).toEqual(before)
      expect(story.cloud.emulator.state().gaps).toEqual([])
    })

  it('that is answered without effect is no verdict on the bundle, which stays in incoming/', async () => {
    const { before, bundle } = await begin()
    neverServed(bundle.fingerprint)
    // The fourth is refused beside the new one, which is then taken off.
    story.fault('apig.attachCertificate', { status: 204, effect: 'none' }, { from: 5 })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'unfinished' })
    expect(statuses(outcome)['a.shop.example']).toBe('without certificate')
    expect(await story.results('rejected')).toEqual([])
    story.cloud.emulator.faults.clear()
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rolled back' })
    expect(story.cloud.bound()).toEqual(before)
  })

  it('whose predecessor was deleted leaves what is bound, tells it as failed, and ends', async () => {
    const { bundle } = await begin()
    const old = story.cloud.emulator.state().bindings[0]!.certificates[0]!.id
    neverServed(bundle.fingerprint)
    const stop = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      stop()
      // At the other domains it is gone as well.
      await admin(`certificates?id=${old}`)
    })
    const outcomes = await story.ticks()
    expect(outcomes).toHaveLength(1)
    expect(outcomes[0]).toMatchObject({ status: 'failed' })
    expect(outcomes[0]?.failures.map(({ message }) => message).join()).toContain('deleted')
    expect(story.cloud.bound()['a.shop.example']).toEqual([bundle.fingerprint])
    expect(story.called('apig.detachCertificate')).toBe(1)
  })

  it('whose predecessor was refused at the rehearsal takes nothing off that it could not replace', async () => {
    const { bundle } = await begin({ apig: ['a.shop.example'] })
    await story.cloud.emulator.reset({
      ...seedOf(['a.shop.example']),
      certificates: [
        { ref: 'old', generate: { names: ['a.shop.example'], notBefore: '-91d', notAfter: '-1d' } },
      ],
    })
    neverServed(bundle.fingerprint)
    const outcomes = await story.ticks()
    expect(outcomes).toMatchObject([{ status: 'failed' }])
    expect(outcomes[0]?.failures.map(({ message }) => message).join()).toContain('cannot be put back')
    expect(story.cloud.bound()).toEqual({ 'a.shop.example': [bundle.fingerprint] })
    // The old one, once; the new one never.
    expect(story.called('apig.detachCertificate')).toBe(1)
    expect(story.cloud.emulator.state().gaps).toHaveLength(1)
  })

  it('finds old and new deleted by hand, and creates the new one again', async () => {
    const { bundle } = await begin({ apig: ['a.shop.example'] })
    const old = story.cloud.emulator.state().bindings[0]!.certificates[0]!.id
    neverServed(bundle.fingerprint)
    // Given up and bare: the undo is refused until both are gone.
    story.fault('apig.attachCertificate', { status: 403, errorCode: 'APIG.1005' }, { from: 4 })
    const [first] = await story.tick()
    expect(first).toMatchObject({ status: 'unfinished' })
    story.change = (parties) => parties
    for (const { id } of story.cloud.emulator.state().certificates) await admin(`certificates?id=${id}`)
    expect(story.cloud.emulator.state().certificates.map(({ id }) => id)).not.toContain(old)
    story.cloud.emulator.faults.clear()
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual({ 'a.shop.example': [bundle.fingerprint] })
  })

  it('by strategy update of a domain that somebody detached meanwhile comes to an end', async () => {
    const { bundle } = await begin({ gateway: { strategy: 'update', updateWithoutWayBack: true } })
    const stop = story.cloud.emulator.intercept((stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.updateCertificate') return
      stop()
      story.cloud.emulator.bind('b.shop.example', null)
    })
    const outcomes = await story.ticks()
    expect(outcomes.length).toBeLessThan(3)
    expect(outcomes.at(-1)?.status).not.toBe('unfinished')
    expect(story.bare()).toEqual([])
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })
})

function seedOf(names: string[]) {
  return {
    project: { id: '0123456789abcdef0123456789abcdef' },
    rules: { visibilityDelayMs: 0 },
    accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
    instances: [
      {
        flavour: 'apig' as const,
        id: 'f0fa1789-3b76-433b-a787-9892951c620e',
        groups: [{ domains: names.map((host) => ({ host, certificate: 'old' })) }],
      },
    ],
  }
}
