import { afterEach, describe, expect, it } from 'vitest'
import { day, hour } from '../../shared/base/clock.ts'
import { preview } from '../../shared/rotation/preview.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { Story, type StoryOptions, statuses } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example']

describe('a rotation in a world that others change, too', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (options: StoryOptions = {}) => {
    story = await Story.start({ apig: hosts, roma: [], ...options })
  }
  const when = (stage: 'arrived' | 'done', route: string, what: () => void | Promise<void>) => {
    const stop = story.cloud.emulator.intercept(async (now, call) => {
      if (now !== stage || call.route !== route) return
      stop()
      await what()
    })
  }
  /** A certificate that somebody uploads by hand. */
  const foreign = async (names = hosts) => {
    // Older than ours, so that ours is no downgrade.
    const bundle = await story.cloud.issue(names, { from: -1 })
    const { Secret } = await import('../../shared/base/secret.ts')
    const gateway = story.wiring
      .parties({ deadline: story.parties().deadline })
      .gatewayFor(story.wiring.config.certificates.shop!.gateways[0]!)
    const { id } = await gateway.create('somebodys_own', {
      certificatePem: bundle.fullchainPem,
      privateKey: new Secret(bundle.privateKeyPem),
    })
    story.cloud.emulator.clearCalls()
    return { id, fingerprint: bundle.fingerprint }
  }
  const admin = (method: string, path: string) =>
    fetch(`${story.cloud.emulator.url}/__emulator/${path}`, { method })
  const all = (fingerprint: string) => Object.fromEntries(hosts.map((host) => [host, [fingerprint]]))

  it('replaces what somebody has bound between the plan and the detach, and would put that back', async () => {
    await begin()
    const theirs = await foreign()
    const bundle = await story.drop()
    when('arrived', 'apig.detachCertificate', () => story.cloud.emulator.bind(hosts[0]!, theirs.id))
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    const { current } = await story.state()
    expect(Object.values(current!.domains)[0]?.predecessor?.id).toBe(theirs.id)
  })

  it('replaces what somebody has bound between the detach and the attach', async () => {
    await begin()
    const theirs = await foreign()
    const bundle = await story.drop()
    when('done', 'apig.detachCertificate', () => story.cloud.emulator.bind(hosts[0]!, theirs.id))
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('leaves a certificate alone that somebody has bound while it was undoing', async () => {
    await begin()
    const theirs = await foreign()
    await story.drop()
    story.fault('apig.attachCertificate', { status: 400, errorCode: 'APIG.2104' }, { nth: 3 })
    when('done', 'apig.detachCertificate', () => story.cloud.emulator.bind(hosts[0]!, theirs.id))
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rolled back' })
    expect(story.cloud.bound()[hosts[0]!]).toEqual([theirs.fingerprint])
  })

  it('is not refused for lacking the names of a certificate that is not for the domain at all', async () => {
    await begin()
    const theirs = await foreign(['evil.example'])
    story.cloud.emulator.bind(hosts[0]!, theirs.id)
    const bundle = await story.drop()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('says so, each time, where somebody has taken the bundle of a begun rotation away; dropped again it ends', async () => {
    await begin()
    const bundle = await story.drop()
    when('done', 'apig.createCertificate', () => admin('DELETE', `domains?host=${hosts[1]}`).then(() => {}))
    expect((await story.tick())[0]).toMatchObject({ status: 'unfinished' })
    const taken = await story.cloud.store.list('incoming/')
    for (const { key } of taken) await story.cloud.store.delete(key)
    const told = {
      status: 'unfinished',
      sentence: '1 of 2 domains done, and the bundle is no longer in incoming/shop/',
      bundle: { fingerprint: bundle.fingerprint },
      failures: [{ code: 'rotation.bundle-gone' }],
    }
    for (let tick = 0; tick < 2; tick++) {
      const report = await rotateUploads(story.wiring, story.parties(), { byPerson: false })
      expect(report.outcomes).toMatchObject([told])
      expect(exitStatus(report)).toBe(3)
    }
    const job = await story.wiring.job('shop', false)
    expect(await preview(job, story.parties())).toMatchObject({ decision: 'wait', failures: told.failures })
    await story.configure({ gateway: { domains: [hosts[0]!] } })
    await story.cloud.drop(bundle)
    expect((await story.ticks())[0]).toMatchObject({ status: 'rotated' })
  })

  it('takes a domain that somebody has made bare for what it is', async () => {
    await begin()
    const bundle = await story.drop()
    when('arrived', 'apig.detachCertificate', () => story.cloud.emulator.bind(hosts[0]!, null))
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
  })

  it('serves the others where one domain is gone from its group, and ends once the config is right', async () => {
    await begin()
    const bundle = await story.drop()
    await admin('DELETE', `domains?host=${hosts[1]}`)
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'unfinished', failures: [{ code: 'gateway.unknown-domain' }] })
    expect(outcome!.sentence).toContain('1 of 2 domains done')
    const planned = await preview(await story.wiring.job('shop', true), story.parties())
    expect(planned.failures).toMatchObject([{ code: 'gateway.unknown-domain' }])
    // The same words twice, so that whoever prints both says them once.
    const [waiting] = await story.tick()
    expect(waiting!.failures[0]!.message).toBe(`shop ${waiting!.sentence}`)
    expect(outcome?.sentence).toContain(hosts[1])
    expect(statuses(outcome)).toEqual({ [hosts[0]!]: 'served', [hosts[1]!]: 'failed' })
    expect(story.cloud.bound()).toEqual({ [hosts[0]!]: [bundle.fingerprint] })
    await story.configure({ gateway: { domains: [hosts[0]] } })
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
  })

  it('touches nothing where no domain of the config is there', async () => {
    await begin()
    await story.drop()
    for (const host of hosts) await admin('DELETE', `domains?host=${host}`)
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed', failures: [{ code: 'gateway.unknown-domain' }] })
    expect(story.changes()).toEqual([])
  })

  for (const what of ['binds another certificate', 'takes the new one off'] as const)
    for (const after of ['its attach', 'its handshake'] as const)
      it(`is not rolled back where somebody ${what} after ${after}: the next run goes on`, async () => {
        await begin({ rest: { concurrency: 1, servedWithin: '5s' } })
        const theirs = await foreign()
        const bundle = await story.drop()
        let done = false
        const interfere = async () => {
          if (done) return
          done = true
          if (what === 'binds another certificate') story.cloud.emulator.bind(hosts[0]!, theirs.id)
          else story.cloud.emulator.bind(hosts[0]!, null)
        }
        // Bound, and seen so by the look that follows each attach.
        if (after === 'its attach')
          story.cloud.emulator.intercept(async (stage, call) => {
            if (stage !== 'done' || call.mutating) return
            if (story.cloud.bound()[hosts[0]!]?.includes(bundle.fingerprint)) await interfere()
          })
        else
          story.change = (parties) => ({
            ...parties,
            probe: {
              handshake: async (target, signal) => {
                const current = (await story.state().catch(() => undefined))?.current
                if (target.serverName === hosts[1] && current) await interfere()
                return parties.probe.handshake(target, signal)
              },
            },
          })
        const outcomes = await story.ticks()
        expect(done).toBe(true)
        expect(outcomes[0]).toMatchObject({ status: 'unfinished' })
        expect(outcomes[0]?.failures.map(({ code }) => code)).toContain('rotation.binding-changed')
        expect(outcomes.at(-1)).toMatchObject({ status: 'rotated' })
        expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
        expect(await story.results('rejected')).toEqual([])
      })

  // Found among random histories: the undo attached against the occupied domain with every tick, for ever.
  it('comes to an end where somebody binds another of the old kind while the new one, of the other kind, goes on beside', async () => {
    const host = 'r.shop.example'
    story = await Story.start({ apig: [], roma: [host], rest: { servedWithin: '5s' } })
    const theirs = await foreign([host])
    const now = story.clock.lazy.now().getTime()
    const rsa = await story.cloud.emulator.intermediate.issue({
      names: [host],
      key: 'RSA-2048',
      notBefore: new Date(now - hour),
      notAfter: new Date(now + 90 * day),
    })
    await story.cloud.drop(rsa)
    let changed = false
    story.cloud.emulator.intercept((stage, call) => {
      // The attach before the certificate is created is the rehearsal of the way back.
      if (changed || stage !== 'arrived' || call.route !== 'roma.attachCertificate') return
      if (story.called('roma.createCertificate') === 0) return
      changed = true
      story.cloud.emulator.bind(host, theirs.id)
    })
    const outcomes = await story.ticks()
    expect(changed).toBe(true)
    expect(outcomes.at(-1)?.status).toBe('rolled back')
    expect(story.cloud.bound()).toEqual({ [host]: [theirs.fingerprint] })
    story.cloud.emulator.clearCalls()
    expect(await story.tick()).toEqual([])
    expect(story.changes()).toEqual([])
  })

  it('names a domain that is removed under its hands, and finishes the others', async () => {
    await begin({ rest: { concurrency: 1 } })
    const bundle = await story.drop()
    let detaches = 0
    story.cloud.emulator.intercept(async (stage, call) => {
      if (stage === 'arrived' && call.route === 'apig.detachCertificate' && ++detaches === 2)
        await admin('DELETE', `domains?host=${hosts[1]}`)
    })
    const [outcome] = await story.tick()
    expect(outcome?.failures.length).toBeGreaterThan(0)
    expect(statuses(outcome)[hosts[0]!]).toBe('served')
    expect(story.cloud.bound()).toEqual({ [hosts[0]!]: [bundle.fingerprint] })
  })

  it('binds again what was changed by hand after an earlier run, and would put back what it found', async () => {
    await begin()
    const bundle = await story.settled()
    const theirs = await foreign()
    story.cloud.emulator.bind(hosts[1]!, theirs.id)
    await story.cloud.drop(bundle)
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    const { current } = await story.state()
    expect(Object.values(current!.domains)[1]?.predecessor?.id).toBe(theirs.id)
  })

  const garbage: Record<string, (text: string) => string | Uint8Array> = {
    garbage: () => 'hello',
    'an empty file': () => '',
    'half a file': (text) => text.slice(0, text.length / 2),
    'zero bytes': (text) => new Uint8Array(text.length),
    'another certificate’s state': (text) => text.replaceAll('"name": "shop"', '"name": "other"'),
    'JSON of another shape': () => '{"schema":1,"name":"shop","created":[null],"outcomes":[]}',
    'a current rotation of another shape': () =>
      '{"schema":1,"name":"shop","created":[],"outcomes":[],"current":{"status":"running","remoteName":"x","bundle":{"digest":"a","fingerprint":"b","notAfter":"c"},"domains":{"x":5},"certificates":{},"notes":{}}}',
    'five megabytes of noise': () => 'x'.repeat(5 * 1024 * 1024),
    nothing: () => 'delete',
  }
  for (const [what, make] of Object.entries(garbage))
    it(`with ${what} for its state goes on, keeps what is its own, and the bad file`, async () => {
      await begin({
        certificate: { push: [{ service: 'ELB', project: 'eu-de' }], retire: { after: '1h', keep: 0 } },
      })
      const first = await story.settled()
      const swapped = make(await story.text('state/shop.json'))
      if (swapped === 'delete') await story.cloud.store.delete('state/shop.json')
      else await story.cloud.store.put('state/shop.json', swapped)
      // The same bundle again: nothing is done twice although nothing is remembered.
      await story.cloud.drop(first)
      await story.tick()
      expect(story.changes()).toEqual([])
      const aside = (await story.cloud.keys()).filter((key) => key.includes('.broken-'))
      expect(aside.length).toBe(swapped === 'delete' ? 0 : 1)
      if (swapped !== 'delete')
        expect(await story.text(aside[0]!)).toBe(
          typeof swapped === 'string' ? swapped : new TextDecoder().decode(swapped),
        )
      story.clock.advance(hour)
      const second = await story.drop()
      expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
      expect(story.cloud.bound()).toEqual(all(second.fingerprint))
      await story.retire()
      story.clock.advance(day)
      await story.retire()
      expect([story.copies(first), story.copies(second)]).toEqual([0, 1])
    })

  it('with the state of a newer version changes nothing and says which version is needed', async () => {
    await begin()
    await story.settled()
    const text = (await story.text('state/shop.json')).replace('"schema": 1', '"schema": 2')
    await story.cloud.store.put('state/shop.json', text)
    await story.drop()
    await expect(story.tick()).rejects.toMatchObject({ code: 'state.newer-schema' })
    expect(story.changes()).toEqual([])
    expect(await story.text('state/shop.json')).toBe(text)
  })

  it('with an older copy of its state puts back what is really there, and remembers what is its own', async () => {
    await begin({ certificate: { retire: { after: '1h', keep: 0 } } })
    const first = await story.settled()
    const older = await story.text('state/shop.json')
    const second = await story.settled()
    await story.cloud.store.put('state/shop.json', older)
    story.clock.advance(hour)
    const third = await story.drop()
    story.fault('apig.attachCertificate', { status: 400, errorCode: 'APIG.2104' }, { nth: 3 })
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rolled back' })
    expect(story.cloud.bound()).toEqual(all(second.fingerprint))
    await story.retire()
    story.clock.advance(day)
    await story.retire()
    expect([first, second, third].map((bundle) => story.copies(bundle))).toEqual([0, 1, 0])
  })

  it('loses its state in the middle of a rotation and still creates and imports once', async () => {
    await begin({ certificate: { push: [{ service: 'ELB', project: 'eu-de' }] }, rest: { concurrency: 1 } })
    const bundle = await story.drop()
    const stop = new AbortController()
    when('done', 'apig.detachCertificate', () => stop.abort())
    const deadline = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(deadline))[0]).toMatchObject({ status: 'unfinished' })
    await story.cloud.store.put('state/shop.json', '{')
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle.fingerprint))
    expect(story.copies(bundle)).toBe(1)
    expect((await story.state()).created.map(({ where }) => where.split(':')[0])).toEqual(['apig', 'scm'])
  })
})
