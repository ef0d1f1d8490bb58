import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../shared/base/clock.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import { createSmnChannel, smnStructure, smnSubject, smsText } from '../../shared/notify/smn.ts'
import { start } from '../watch/support.ts'
import { attack, digest, expiry, hugeDigest, never, receiver } from './support.ts'

const urn = 'urn:smn:eu-de:0f1e2d:certificates'
let server: Awaited<ReturnType<typeof receiver>> | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

function smn(endpoint: string) {
  const dispatcher = createDispatcher()
  const credentials = {
    description: 'a test token',
    headersFor: () => Promise.resolve({ 'X-Auth-Token': 'tok' }),
  }
  const http = createHttpClient({
    service: 'smn',
    endpoint,
    credentials,
    clock: systemClock,
    timeoutMs: 2_000,
    dispatcher,
  })
  return {
    channel: createSmnChannel({ http, projectId: '0f1e2d', topicUrn: urn, now: () => start }),
    close: () => dispatcher.close(),
  }
}

test('subject, mail and SMS say which installation it comes from', () => {
  const named = { ...digest(expiry), installation: 'production eu-de' }
  expect(smnSubject(named)).toBe('[cert-rotation] production eu-de: shop expires in 24 hours')
  expect(smsText(named)).toMatch(/^cert-rotation: production eu-de: shop expires/)
  expect(smnStructure(named, start).email).toMatch(/^Installation: production eu-de\n\n🔴 shop expires/)
})

test('a digest is published once, with a structure whose values are text', async () => {
  server = await receiver((_, response) => response.writeHead(200).end('{"request_id":"r","message_id":"m"}'))
  const { channel, close } = smn(server.url('/'))
  await channel.send(digest(expiry, attack), never)
  await close()
  expect(server.received).toHaveLength(1)
  const [{ url, json, headers }] = server.received as [(typeof server.received)[0]]
  expect(decodeURIComponent(url.pathname)).toBe(`/v2/0f1e2d/notifications/topics/${urn}/publish`)
  expect(headers['x-auth-token']).toBe('tok')
  expect(typeof json.message_structure).toBe('string')
  const structure = JSON.parse(String(json.message_structure)) as Record<string, unknown>
  expect(Object.keys(structure)).toEqual(['default', 'email', 'sms', 'http', 'https'])
  expect(Object.values(structure).every((value) => typeof value === 'string')).toBe(true)
  expect(structure.email).toContain('shop expires in 24 hours')
  expect(JSON.parse(String(structure.https))).toMatchObject({ schema: 1, id: 'd1f2' })
})

test('what SMN answers reaches the operator with its code', async () => {
  server = await receiver((_, response) =>
    response.writeHead(404).end('{"request_id":"r1","code":"SMN.0006","message":"topic not found"}'),
  )
  const { channel, close } = smn(server.url('/'))
  await expect(channel.send(digest(expiry), never)).rejects.toMatchObject({
    name: 'Failure',
    facts: { errorCode: 'SMN.0006' },
  })
  await close()
})

test('subject, SMS and the whole message stay within the documented limits whatever is said', () => {
  for (const what of [
    hugeDigest(),
    digest(attack),
    digest({ ...expiry, certificate: `[x]【${'é'.repeat(600)}】` }),
  ]) {
    expect(Buffer.byteLength(smnSubject(what))).toBeLessThanOrEqual(512)
    expect(smnSubject(what)).not.toMatch(/[\r\n]/)
    expect(smsText(what).length).toBeLessThanOrEqual(490)
    expect(smsText(what)).not.toMatch(/[[\]【】]/)
    expect(Buffer.byteLength(JSON.stringify(smnStructure(what, start)))).toBeLessThanOrEqual(256 * 1024)
  }
})
