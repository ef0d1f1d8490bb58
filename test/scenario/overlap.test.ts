import { afterEach, describe, expect, it } from 'vitest'
import { day, hour } from '../../shared/base/clock.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { TestCloud } from '../support/cloud.ts'
import { runOnce } from '../support/crash-run.ts'
import { Crashed, Crasher } from '../support/crasher.ts'
import { Story } from '../support/story.ts'

describe('two uploads for one name', () => {
  let story: Story
  afterEach(() => story.close())
  const hosts = ['a.shop.example', 'b.shop.example', 'c.shop.example']
  const begin = async () => {
    story = await Story.start({ apig: hosts, roma: [], rest: { concurrency: 1 } })
  }
  const all = (fingerprint: string) => Object.fromEntries(hosts.map((host) => [host, [fingerprint]]))

  it('that lie there together: the newest is rotated, the older reported as superseded', async () => {
    await begin()
    const older = await story.cloud.issue(hosts, { from: -2 })
    const newer = await story.cloud.issue(hosts, { from: -1 })
    for (const [folder, bundle] of Object.entries({ 'b-older': older, 'a-newer': newer })) {
      await story.cloud.store.put(`incoming/shop/${folder}/fullchain.pem`, bundle.fullchainPem)
      await story.cloud.store.put(`incoming/shop/${folder}/privkey.pem`, bundle.privateKeyPem)
    }
    const outcomes = await story.tick()
    expect(outcomes.map(({ status }) => status)).toEqual(['superseded', 'rotated'])
    expect(story.cloud.bound()).toEqual(all(newer.fingerprint))
    expect(story.copies(older)).toBe(0)
    expect(await story.cloud.store.list('incoming/')).toEqual([])
  })

  it('under the same keys in mid-run: the second is taken up at once, and wins', async () => {
    await begin()
    const older = await story.cloud.issue(hosts, { from: -2 })
    const newer = await story.cloud.issue(hosts, { from: -1 })
    await story.cloud.drop(older)
    const stop = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      stop()
      await story.cloud.drop(newer)
    })
    const outcomes = await story.tick()
    expect(outcomes.map(({ status }) => status)).toEqual(['rotated', 'rotated'])
    expect(story.cloud.bound()).toEqual(all(newer.fingerprint))
    expect(await story.cloud.store.list('incoming/')).toEqual([])
  })

  const interrupted = async () => {
    const older = await story.cloud.issue(hosts, { from: -2 })
    await story.cloud.drop(older)
    const stop = new AbortController()
    const forget = story.cloud.emulator.intercept((stage, call) => {
      if (stage === 'done' && call.route === 'apig.detachCertificate') stop.abort()
    })
    const deadline = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(deadline))[0]).toMatchObject({ status: 'unfinished' })
    forget()
    return older
  }

  it('after an unfinished run, with a gateway that refuses to list while SCM still thinks: the run ends, not the process', async () => {
    story = await Story.start({
      apig: hosts,
      roma: [],
      certificate: { push: [{ service: 'ELB', project: 'eu-de' }] },
      rest: { concurrency: 1 },
    })
    await interrupted()
    await story.drop()
    const unhandled: unknown[] = []
    const note = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    const forget = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'arrived' || call.route !== 'scm.listCertificates') return
      for (let turn = 0; turn < 500 && unhandled.length === 0; turn++)
        await new Promise((resolve) => setImmediate(resolve))
    })
    story.fault('apig.listCertificates', { status: 403, errorCode: 'APIG.1005' }, { from: 2 })
    const outcomes = await story.tick()
    forget()
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
    expect(outcomes).toMatchObject([{ status: 'failed' }])
    expect(story.called('scm.listCertificates')).toBeGreaterThan(0)
  })

  it('after an unfinished run: the older is reported as superseded, once, and can be undone to what was before it', async () => {
    await begin()
    const before = story.cloud.bound()
    await interrupted()
    const newer = await story.drop()
    story.fault('apig.attachCertificate', { status: 400, errorCode: 'APIG.2104' }, { nth: 3 })
    const outcomes = await story.tick()
    expect(outcomes.map(({ status }) => status)).toEqual(['superseded', 'rolled back'])
    // The canary has its proven predecessor again, not the certificate that was overtaken.
    expect(story.cloud.bound()).toEqual(before)
    expect(story.copies(newer)).toBe(1)
    const { outcomes: told } = await story.state()
    expect(told.filter(({ status }) => status === 'superseded').length).toBe(1)
  })

  it('object by object: a new certificate beside the old key waits for its own, and is not refused', async () => {
    await begin()
    await interrupted()
    // The directory's times are real; so that the upload is young, time goes on from there.
    story.clock.setWallClock(Date.now() - story.clock.lazy.now().getTime())
    const newer = await story.cloud.issue(hosts)
    await story.cloud.store.put('incoming/shop/fullchain.pem', newer.fullchainPem)
    expect((await story.tick())[0]).toMatchObject({ status: 'waiting' })
    await story.cloud.store.put('incoming/shop/privkey.pem', newer.privateKeyPem)
    const outcomes = await story.tick()
    expect(outcomes.map(({ status }) => status)).toEqual(['superseded', 'rotated'])
    expect(story.cloud.bound()).toEqual(all(newer.fingerprint))
  })

  it('of the same bundle within one run are one rotation', async () => {
    await begin()
    const bundle = await story.drop()
    const stop = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.createCertificate') return
      stop()
      await story.cloud.drop(bundle)
    })
    const outcomes = await story.tick()
    expect(outcomes.map(({ status }) => status)).toEqual(['rotated', 'already deployed'])
    expect(story.called('apig.createCertificate')).toBe(1)
    expect((await story.results('deployed')).length).toBe(1)
    expect(await story.cloud.store.list('incoming/')).toEqual([])
  })

  it('of the same bundle, the second while a dead run has still to clear the first away: somebody asks again', async () => {
    await begin()
    const theirs = story.cloud.bound()
    const [old] = story.cloud.emulator.state().certificates
    const bundle = await story.drop()
    await dies('before store.delete')
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    for (const host of hosts) story.cloud.emulator.bind(host, old!.id)
    expect(story.cloud.bound()).toEqual(theirs)
    await story.cloud.drop(bundle)
    await story.ticks()
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    expect(story.copies(bundle)).toBe(1)
    expect(await story.cloud.store.list('incoming/')).toEqual([])
  })

  // ROMA Connect shows one certificate of a domain: the overtaken one stays there unseen, and is what clients get.
  it('the second of another algorithm, each run dying right after its attach: what was overtaken is taken off', async () => {
    const host = 'r.shop.example'
    story = await Story.start({
      apig: [],
      roma: [host],
      rules: { visibilityDelayMs: 0, attachOverOther: 'replace' },
    })
    const older = await story.cloud.issue([host], { from: -2 })
    await story.cloud.drop(older)
    // The first attach is the rehearsal's.
    await dies('after roma.attach', 2)
    const newer = await ofAlgorithm('RSA-2048', host)
    await story.cloud.drop(newer)
    await dies('after roma.attach', 2)
    expect(story.cloud.bound()).toEqual({ [host]: [older.fingerprint, newer.fingerprint] })
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)?.status).toBe('rotated')
    expect(story.cloud.bound()).toEqual({ [host]: [newer.fingerprint] })
  })

  it('by strategy add, the first dying before it could write down what it added: that is taken off as well', async () => {
    const host = 'a.shop.example'
    story = await Story.start({ apig: [host], roma: [], gateway: { strategy: 'add' } })
    await story.cloud.drop(await ofAlgorithm('RSA-2048', host))
    await dies('after apig.add')
    const newer = await story.drop()
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)?.status).toBe('rotated')
    expect(story.cloud.bound()).toEqual({ [host]: [newer.fingerprint] })
  })

  it('a third of the algorithm of the overtaken one, which stands beside the old one: both go, and nothing is bare', async () => {
    const host = 'a.shop.example'
    story = await Story.start({ apig: [host], roma: [] })
    await story.cloud.drop(await ofAlgorithm('RSA-2048', host))
    await dies('after apig.attach', 2)
    expect(story.cloud.bound()[host]?.length).toBe(2)
    const newer = await ofAlgorithm('RSA-2048', host)
    await story.cloud.drop(newer)
    const outcomes = await story.ticks()
    expect(outcomes.map(({ status }) => status)).toEqual(['superseded', 'rotated'])
    expect(story.cloud.bound()).toEqual({ [host]: [newer.fingerprint] })
    expect(story.cloud.emulator.state().gaps).toEqual([])
  })

  it('the one from before a newer one that never came into service, again: it stays where it is', async () => {
    await begin()
    const first = await story.drop()
    await story.ticks()
    const newer = await ofAlgorithm('RSA-2048', ...hosts)
    await story.cloud.drop(newer)
    await dies('after apig.attach', 2)
    expect(story.cloud.bound()[hosts[0]!]).toEqual([first.fingerprint, newer.fingerprint])
    const detached = story.called('apig.detachCertificate')
    await story.cloud.drop(first)
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)?.status).toBe('rotated')
    expect(story.cloud.bound()).toEqual(all(first.fingerprint))
    // The newer one's, from one domain.
    expect(story.called('apig.detachCertificate') - detached).toBe(1)
  })

  it('the second dying right after its attach, and the state file lost: what is called as ours is taken off', async () => {
    await begin()
    const first = await story.drop()
    await story.ticks()
    await story.cloud.drop(await ofAlgorithm('RSA-2048', ...hosts))
    await dies('after apig.attach', 2)
    expect(story.cloud.bound()[hosts[0]!]?.length).toBe(2)
    await story.cloud.store.put('state/shop.json', '')
    const third = await story.drop()
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)?.status).toBe('rotated')
    expect(story.cloud.bound()).toEqual(all(third.fingerprint))
    expect(first.fingerprint).not.toBe(third.fingerprint)
  })

  it('both dying, and the state file lost, where the gateway shows one of the two only: so it is as well', async () => {
    const host = 'r.shop.example'
    story = await Story.start({ apig: [], roma: [host] })
    const first = await story.drop()
    // The rehearsal's, the one that is refused beside the old one, and the one in its place.
    await dies('after roma.attach', 3)
    const second = await ofAlgorithm('RSA-2048', host)
    await story.cloud.drop(second)
    await dies('after roma.attach', 2)
    expect(story.cloud.bound()).toEqual({ [host]: [first.fingerprint, second.fingerprint] })
    await story.cloud.store.put('state/shop.json', '')
    const third = await ofAlgorithm('RSA-2048', host)
    await story.cloud.drop(third)
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)?.status).toBe('rotated')
    expect(story.cloud.bound()).toEqual({ [host]: [third.fingerprint] })
  })

  it('a half refused, its other half coming while a dead run has still to clear it away: they are a pair', async () => {
    await begin()
    // The directory's times are real; so that the upload is young, time goes on from there.
    story.clock.setWallClock(Date.now() - story.clock.lazy.now().getTime())
    const [one, other] = [await story.cloud.issue(hosts), await story.cloud.issue(hosts)]
    await story.cloud.store.put('incoming/shop/fullchain.pem', one.fullchainPem)
    await story.cloud.store.put('incoming/shop/privkey.pem', other.privateKeyPem)
    expect((await story.tick())[0]).toMatchObject({ status: 'waiting' })
    story.clock.advance(hour)
    await dies('after store.delete')
    expect((await story.cloud.keys()).filter((key) => key.startsWith('incoming/'))).toEqual([
      'incoming/shop/privkey.pem',
    ])
    await story.cloud.store.put('incoming/shop/fullchain.pem', other.fullchainPem)
    const outcomes = await story.ticks()
    expect(outcomes.at(-1)?.status).toBe('rotated')
    expect(story.cloud.bound()).toEqual(all(other.fingerprint))
  })

  const ofAlgorithm = (key: 'RSA-2048', ...names: string[]) => {
    const now = story.clock.lazy.now().getTime()
    return story.cloud.emulator.intermediate.issue({
      names,
      key,
      notBefore: new Date(now - 2 * hour),
      notAfter: new Date(now + 90 * day),
    })
  }
  const dies = async (at: string, nth = 1) => {
    const crasher = new Crasher((name, times) => name === at && times === nth)
    expect(await runOnce(story.wiring, story.clock, crasher)).toBeInstanceOf(Crashed)
    story.clock.advance(hour)
  }
})

describe('several at work at the same moment', () => {
  it('timer and upload on one store do everything once', async () => {
    const cloud = await TestCloud.start()
    try {
      const bundle = await cloud.issue()
      await cloud.drop(bundle)
      // Two instances of the function, each with connections of its own.
      const [one, two] = [await cloud.wire(), await cloud.wire()]
      const reports = await Promise.all([
        rotateUploads(one, cloud.parties(one), { names: ['shop'], byPerson: false }),
        tick(two, cloud.parties(two)),
      ])
      expect(reports.flatMap(({ failures }) => failures)).toEqual([])
      expect(reports.flatMap(({ outcomes }) => outcomes.map(({ status }) => status))).toEqual(['rotated'])
      expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
      expect(cloud.effects()).toEqual({
        'apig.createCertificate': 1,
        'roma.createCertificate': 1,
        'apig.detachCertificate': 2,
        'apig.attachCertificate': 2,
        'roma.detachCertificate': 1,
        'roma.attachCertificate': 1,
      })
    } finally {
      await cloud.close()
    }
  })

  it('different names are rotated in parallel, each under its own lease', async () => {
    const cloud = await TestCloud.start()
    try {
      const config = cloud.config()
      const [apig, roma] = config.certificates.shop.gateways as { domains: string[] }[]
      const certificates = {
        api: { gateways: [{ ...apig, domains: ['api.shop.example'] }], allowDowngrade: true },
        www: { gateways: [{ ...apig, domains: ['www.shop.example'] }], allowDowngrade: true },
        erp: { gateways: [roma], allowDowngrade: true },
      }
      const wiring = await cloud.wire({ ...config, certificates })
      const bundles: Record<string, string> = {}
      for (const name of Object.keys(certificates)) {
        const bundle = await cloud.issue([`${name}.shop.example`])
        bundles[`${name}.shop.example`] = bundle.fingerprint
        await cloud.drop(bundle, name)
      }
      // So that all three certificates are on their way before any is in service.
      let waiting = 0
      let open = () => {}
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      cloud.emulator.intercept(async (stage, call) => {
        if (stage !== 'arrived' || !call.route.endsWith('createCertificate')) return
        if (++waiting === 3) open()
        await gate
      })
      const report = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
      expect(report.outcomes.map(({ status }) => status)).toEqual(['rotated', 'rotated', 'rotated'])
      expect(cloud.served()).toEqual(bundles)
    } finally {
      await cloud.close()
    }
  })
})
