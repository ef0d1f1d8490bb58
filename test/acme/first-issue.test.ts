import { createPublicKey, X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  authorityOf,
  type DnsCloud,
  read,
  renewalParts,
  renewToEnd as renewDue,
  startDnsCloud,
  TestClock,
  temporaryStore,
} from '../support/acme.ts'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'

describe.skipIf(pebbleMissing())('a first certificate from a real ACME server', () => {
  let cloud: DnsCloud
  let pebble: Pebble
  const clock = new TestClock()
  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example', 'example'])
    pebble = await startPebble({ dns: `127.0.0.1:${cloud.answers.port}` })
  })
  afterAll(async () => {
    await pebble?.remove()
    await cloud?.close()
  })

  test('DNS-01 proves the apex and its wildcard in one order, and the bundle lies in incoming/', async () => {
    const { store, remove } = await temporaryStore()
    try {
      const parts = renewalParts({ store, clock, authorities: [authorityOf(pebble, cloud.solver)] })
      const outcome = await renewDue(parts)
      expect(outcome.sentence).toContain('dropped into incoming/shop/')
      expect(outcome.status).toBe('delivered')
      const objects = await store.list('incoming/')
      expect(objects.map(({ key }) => key)).toEqual([
        'incoming/shop/fullchain.pem',
        'incoming/shop/privkey.pem',
      ])
      const leaf = new X509Certificate((await read(store, 'incoming/shop/fullchain.pem')) ?? '')
      expect(leaf.subjectAltName?.split(', ').sort()).toEqual(['DNS:*.shop.example', 'DNS:shop.example'])
      const key = (await read(store, 'incoming/shop/privkey.pem')) ?? ''
      expect(createPublicKey(key).asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
      expect(leaf.checkPrivateKey((await import('node:crypto')).createPrivateKey(key))).toBe(true)

      const second = await renewDue(parts)
      expect(second.status).toBe('not-due')
      expect(cloud.zones.answers('_acme-challenge.shop.example')?.get('TXT')).toBeUndefined()
    } finally {
      await remove()
    }
  })
})
