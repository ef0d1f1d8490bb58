import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Digest } from '../../shared/watch/notice.ts'
import { attack, channel, digest, expiry, hugeDigest, never, receiver, rotated, solved } from './support.ts'

const replies: Record<string, [number, string]> = {
  '/slack': [200, 'ok'],
  '/teams': [202, ''],
  '/dingtalk': [200, '{"errcode":0,"errmsg":"ok"}'],
  '/feishu': [200, '{"code":0,"msg":"success","data":{}}'],
  '/wecom': [200, '{"errcode":0,"errmsg":"ok"}'],
  '/pagerduty': [202, '{"status":"success","message":"Event processed","dedup_key":"x"}'],
  '/generic': [204, ''],
}
let server: Awaited<ReturnType<typeof receiver>>

beforeEach(async () => {
  server = await receiver(({ url }, response) => {
    const [status, body] = replies[url.pathname] ?? [404, 'no such hook']
    response.writeHead(status).end(body)
  })
})
afterEach(() => server.close())

async function sent(
  format: keyof typeof import('../../shared/notify/webhook.ts').formats,
  what: Digest,
  secret?: string,
  query = '',
) {
  await channel(format, server.url(`/${format}${query}`), secret).send(what, never)
  for (const { headers } of server.received) expect(headers['content-type']).toMatch(/^application\/json/)
  return server.received
}

/** Every string of a document with the way to it. */
function strings(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'string') return [[path, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) => strings(item, `${path}.${key}`))
}

describe('Slack', () => {
  test('gets blocks whose values stand in plain text, and an escaped notification text', async () => {
    const [message] = await sent('slack', digest(attack, expiry))
    const blocks = message?.json.blocks as { type: string; text: { type: string; text: string } }[]
    expect(blocks.map(({ type }) => type)).toEqual(['header', 'section', 'section'])
    expect(blocks.every(({ text }) => text.type === 'plain_text')).toBe(true)
    expect(blocks[2]?.text.text).toContain('shop expires in 24 hours')
    expect(message?.json.text).not.toMatch(/[<>]/)
  })

  test('gets at most 50 blocks of at most 3,000 characters, and how many more there are', async () => {
    const [message] = await sent('slack', hugeDigest())
    const blocks = message?.json.blocks as { text?: { text: string } }[]
    expect(blocks.length).toBeLessThanOrEqual(50)
    expect(Math.max(...blocks.map(({ text }) => text?.text.length ?? 0))).toBeLessThanOrEqual(3_000)
    expect(JSON.stringify(blocks.at(-1))).toContain('353 more notices')
  })
})

describe('Microsoft Teams', () => {
  test('gets one Adaptive Card for the Workflows trigger, values in text runs without Markdown', async () => {
    const [message] = await sent('teams', digest(expiry, attack))
    expect(message?.json).toMatchObject({
      type: 'message',
      attachments: [
        {
          contentType: 'application/vnd.microsoft.card.adaptive',
          contentUrl: null,
          content: { type: 'AdaptiveCard', version: '1.4' },
        },
      ],
    })
    expect(message?.body).not.toContain('"TextBlock"')
    expect(message?.body).not.toContain('"entities"')
  })

  test('gets at most 28 KB', async () => {
    const [message] = await sent('teams', hugeDigest())
    expect(Buffer.byteLength(message?.body ?? '')).toBeLessThanOrEqual(28 * 1024)
    expect(message?.body).toMatch(/\d+ more notices/)
  })
})

describe('DingTalk', () => {
  test('gets the signature in the query, beside the access token', async () => {
    const [message] = await sent('dingtalk', digest(expiry), 'SECret', '?access_token=abc')
    const query = message?.url.searchParams
    const timestamp = query?.get('timestamp') ?? ''
    expect(timestamp).toMatch(/^\d{13}$/)
    expect(query?.get('access_token')).toBe('abc')
    expect(query?.get('sign')).toBe(
      createHmac('sha256', 'SECret').update(`${timestamp}\nSECret`).digest('base64'),
    )
    expect(message?.json).toMatchObject({ msgtype: 'text', at: { isAtAll: false } })
  })

  test('calls nobody by what a certificate says', async () => {
    const [message] = await sent('dingtalk', digest(attack))
    expect((message!.json.text as { content: string }).content).not.toMatch(/@all/)
    expect((message!.json.text as { content: string }).content).toContain('@\u2060all')
  })
})

describe('Feishu', () => {
  test('gets seconds and the signature in the body, values in text elements', async () => {
    const [message] = await sent('feishu', digest(expiry, attack), 'SECret')
    const { timestamp, sign, msg_type, content } = message!.json as {
      timestamp: string
      sign: string
      msg_type: string
      content: unknown
    }
    expect(timestamp).toMatch(/^\d{10}$/)
    expect(sign).toBe(createHmac('sha256', `${timestamp}\nSECret`).update('').digest('base64'))
    expect(msg_type).toBe('post')
    const tags = strings(content).filter(([path]) => path.endsWith('.tag'))
    expect(new Set(tags.map(([, tag]) => tag))).toEqual(new Set(['text']))
  })

  test('gets at most 20 KB', async () => {
    const [message] = await sent('feishu', hugeDigest(), 'SECret')
    expect(Buffer.byteLength(message?.body ?? '')).toBeLessThanOrEqual(20 * 1024)
  })
})

describe('WeCom', () => {
  test('gets text of at most 2,048 bytes and mentions nobody', async () => {
    const [message] = await sent('wecom', hugeDigest())
    const text = message!.json.text as { content: string; mentioned_list: unknown[] }
    expect(message?.json.msgtype).toBe('text')
    expect(Buffer.byteLength(text.content)).toBeLessThanOrEqual(2_048)
    expect(text.mentioned_list).toEqual([])
    expect(text.content).toMatch(/more notices/)
  })
})

describe('PagerDuty', () => {
  const key = 'R'.repeat(32)

  test('gets a trigger for each problem and a resolve for what a rotation or time has solved', async () => {
    const events = (await sent('pagerduty', digest(expiry, rotated, solved), key)).map(({ json }) => json)
    expect(events.map(({ event_action, dedup_key }) => `${event_action} ${dedup_key}`)).toEqual([
      'trigger cert-rotation/shop/expiry',
      'resolve cert-rotation/mail/expiry',
      'resolve cert-rotation/docs/served',
    ])
    expect(events.every(({ routing_key }) => routing_key === key)).toBe(true)
    expect(events[0]?.payload).toMatchObject({
      summary: 'shop expires in 24 hours',
      source: 'shop.example',
      severity: 'critical',
      component: 'shop',
      group: 'shop-team',
      class: 'near expiry',
    })
  })

  test('is not asked without a routing key', async () => {
    await expect(sent('pagerduty', digest(expiry))).rejects.toMatchObject({ code: 'notify.bad-target' })
    expect(server.received).toEqual([])
  })
})

describe('the generic format', () => {
  test('carries every fact and the sentences, and is signed where a secret is set', async () => {
    const [message] = await sent('generic', digest(expiry), 'SECret')
    expect(message?.json).toMatchObject({
      schema: 1,
      id: 'd1f2',
      severity: 'critical',
      headline: 'shop expires in 24 hours',
      notices: [{ kind: 'near expiry', key: 'shop/expiry', threshold: '1d' }],
    })
    const [, seconds, signature] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(message?.headers['x-cert-rotation-signature'])) ?? []
    expect(signature).toBe(createHmac('sha256', 'SECret').update(`${seconds}.${message?.body}`).digest('hex'))
  })
})

test('every format says which installation it comes from, and its incidents are its own', async () => {
  const named = {
    ...digest(expiry),
    installation: 'production eu-de',
    incidents: { 'shop/expiry': 'p/shop' },
  }
  for (const format of Object.keys(replies).map((path) => path.slice(1) as 'slack'))
    await channel(format, server.url(`/${format}`), 'S'.repeat(32)).send(named, never)
  expect(server.received).toHaveLength(7)
  for (const { body, url } of server.received) {
    const said = /dingtalk|wecom/.test(url.pathname)
      ? /Installation: production eu-de\\n\\n🔴 shop expires/
      : /production eu-de: shop expires/
    expect(body, url.pathname).toMatch(said)
  }
  const [incident] = server.received.filter(({ url }) => url.pathname === '/pagerduty')
  expect(incident?.json).toMatchObject({
    dedup_key: 'cert-rotation/p/shop',
    payload: { custom_details: { Installation: 'production eu-de' } },
  })
})

test('no format lets a control character or a bidirectional override through', async () => {
  for (const format of ['slack', 'teams', 'dingtalk', 'feishu', 'wecom', 'pagerduty', 'generic'] as const) {
    await channel(format, server.url(`/${format}`), 'S'.repeat(32)).send(
      digest({ ...attack, severity: 'info' }),
      never,
    )
  }
  for (const { json, url } of server.received) {
    const texts = strings(url.pathname === '/generic' ? { text: json.text, headline: json.headline } : json)
    for (const [path, text] of texts)
      expect(text, `${url.pathname}${path}`).not.toMatch(/[\u202e\u0000-\u0009\u000b-\u001f]/)
  }
})
