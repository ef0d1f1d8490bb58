import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { FaultRequest } from '../../emulator/faults.ts'
import { APIG, apigw, call, domainPath, outcome, PROJECT, seed } from './support.ts'

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ seed: seed() })
})
afterAll(() => emulator.close())
beforeEach(() => emulator.reset(seed()))

const list = () => call(emulator, 'GET', `${apigw}/certificates?instance_id=${APIG}`)
const topic = (name: string) => call(emulator, 'POST', `/v2/${PROJECT}/notifications/topics`, { name })
const inject = (fault: FaultRequest) => call(emulator, 'POST', '/__emulator/faults', fault)
const detach = () =>
  call(emulator, 'POST', `${domainPath}/certificates/detach`, {
    certificate_ids: [emulator.ready.seed.certificates.old![0]!.id],
  })

describe('faults', () => {
  it('strike the n-th call of a route and no other', async () => {
    await inject({ route: 'apig.listCertificates', nth: 2, fault: { status: 500, errorCode: 'APIG.9008' } })
    expect([outcome(await list()), outcome(await list()), outcome(await list())]).toEqual([
      '200',
      '500 APIG.9008',
      '200',
    ])
  })

  it('strike from a call on, so many times, on routes by pattern', async () => {
    await inject({
      route: 'apig.*',
      from: 2,
      times: 2,
      fault: { status: 429, errorCode: 'APIGW.0308', headers: { 'Retry-After': '3' } },
    })
    const answers = [await list(), await list(), await list(), await list()]
    expect(answers.map(outcome)).toEqual(['200', '429 APIGW.0308', '429 APIGW.0308', '200'])
    expect(answers[1]!.headers.get('retry-after')).toBe('3')
  })

  it('strike only the path that is named, and speak in the form of the service', async () => {
    await inject({ route: 'smn.*', fault: { status: 500 } })
    await inject({ route: '*', path: '*/nowhere/*', fault: { status: 500 } })
    const answer = await topic('alerts')
    expect([answer.status, answer.body]).toMatchObject([
      500,
      { code: 'SMN.0016', request_id: expect.any(String) },
    ])
    expect(outcome(await list())).toBe('200')
  })

  it('lose the request before its effect', async () => {
    await inject({ route: 'apig.detachCertificate', times: 1, fault: { lose: 'request' } })
    await expect(detach()).rejects.toThrow()
    expect(emulator.state().domainsWithoutCertificate).toEqual([])
    expect(emulator.calls().at(-1)).toMatchObject({ status: null, lost: 'request', effect: false })
  })

  it.each(['reply', 'half-reply'] as const)('lose the %s after its effect', async (what) => {
    await inject({ route: 'apig.detachCertificate', times: 1, fault: { lose: what } })
    await expect(detach()).rejects.toThrow()
    expect(emulator.state().domainsWithoutCertificate).toHaveLength(1)
    expect(emulator.calls().at(-1)).toMatchObject({ status: null, lost: what, effect: true })
    expect(outcome(await detach())).toBe('404 APIG.3097')
  })

  it('answer with a failure although the call took effect, where asked to', async () => {
    await inject({ route: 'apig.detachCertificate', times: 1, fault: { status: 504, effect: 'done' } })
    expect((await detach()).status).toBe(504)
    expect(emulator.state().domainsWithoutCertificate).toHaveLength(1)
    await emulator.reset()
    await inject({ route: 'apig.detachCertificate', times: 1, fault: { status: 504 } })
    expect((await detach()).status).toBe(504)
    expect(emulator.state().domainsWithoutCertificate).toHaveLength(0)
  })

  it('answer with something that is not JSON', async () => {
    await inject({ route: '*', times: 1, fault: { reply: '<html>bad gateway</html>', status: 502 } })
    const answer = await list()
    expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([
      502,
      '<html>bad gateway</html>',
      'text/html',
    ])
  })

  it('delay, and then go on', async () => {
    await inject({ route: '*', times: 1, fault: { delayMs: 1 } })
    expect(outcome(await list())).toBe('200')
    expect(emulator.faults.list()[0]).toMatchObject({ seen: 1, fired: 1 })
  })

  it('can be listed and taken back, one or all', async () => {
    const { body } = await inject({ route: '*', fault: { status: 500 } })
    await inject({ route: 'scm.*', fault: { status: 500 } })
    expect((await call(emulator, 'GET', '/__emulator/faults')).body.faults).toHaveLength(2)
    expect((await call(emulator, 'DELETE', `/__emulator/faults?id=${body.id}`)).status).toBe(204)
    expect(outcome(await list())).toBe('200')
    expect((await call(emulator, 'DELETE', '/__emulator/faults')).status).toBe(204)
    expect(emulator.faults.list()).toEqual([])
  })

  it('are refused with a sentence where they make no sense', async () => {
    const answers = await Promise.all([
      inject({ route: '*', fault: {} }),
      inject({ route: '*', fault: { lose: 'reply', status: 500 } }),
      inject({ route: '*', nth: 1, times: 2, fault: { status: 500 } }),
      inject({ rout: '*', fault: { status: 500 } } as unknown as FaultRequest),
    ])
    expect(answers.map((one) => one.status)).toEqual([400, 400, 400, 400])
    expect(answers[3]!.body.error).toMatch(/route/)
  })
})

describe('interceptors', () => {
  it('see every call before and after its effect, and are waited for', async () => {
    const seen: string[] = []
    const stop = emulator.intercept(async (stage, one) => {
      await Promise.resolve()
      seen.push(`${stage} ${one.route} ${emulator.state().domainsWithoutCertificate.length}`)
    })
    await detach()
    stop()
    await list()
    expect(seen).toEqual(['arrived apig.detachCertificate 0', 'done apig.detachCertificate 1'])
  })
})
