import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'
import { RenewalCloud } from '../support/renewal-cloud.ts'

const MAC = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'
const error = (type: string) => `urn:ietf:params:acme:error:${type}`

interface Case {
  /** Laid over the authority in the config. */
  acme?: () => Record<string, unknown>
  renew?: Record<string, unknown>
  rest?: () => Record<string, unknown>
  /** How the scripted ACME server answers the order. */
  answer?: { status: number; type: string; detail: string; subproblems?: unknown[]; date?: Date }
  /** What, where, the CA's or the service's own words, what to do. */
  says: RegExp[]
}

const cases: Record<string, Case> = {
  'a directory URL that is a web page': {
    acme: () => ({ directory: `${scriptedUrl()}/page` }),
    says: [/\/page is not an ACME directory \(HTTP 200\)/, /Set `directory` to the directory URL/],
  },
  'a CA where nobody listens': {
    acme: () => ({ directory: 'https://127.0.0.1:9/dir' }),
    says: [/127\.0\.0\.1:9 cannot be reached: the connection was refused/, /directory URL/, /NAT gateway/],
  },
  'a CA whose name does not resolve': {
    acme: () => ({ directory: 'https://ca.does-not-exist.invalid/dir' }),
    says: [/ca\.does-not-exist\.invalid cannot be reached: its name (does not|could not be) resolve/],
  },
  'a private CA whose root is not named': {
    acme: () => ({ ca: undefined }),
    says: [/not trusted here/, /name it as `ca`/],
  },
  'a root that is not there': {
    acme: () => ({ ca: 'no-such.pem' }),
    says: [/renew\.acme\.ca names no-such\.pem/, /relative to rotation\.yaml/],
  },
  'no key to seal the account with': {
    rest: () => ({ accountKeySecret: undefined }),
    says: [/accountKeySecret/],
  },
  'an external account that is required and not given': {
    acme: () => bound(undefined),
    says: [/externalAccountRequired/, /Set externalAccount \(keyId and hmacKey\)/],
  },
  'an external account that is refused': {
    acme: () => bound(`AAAA${MAC.slice(4)}`),
    says: [/refused the account: (unauthorized|malformed)/, /externalAccount|account/],
  },
  'a name without a zone': {
    renew: { names: ['www.unknown.example'] },
    says: [
      /no active public zone for _acme-challenge\.www\.unknown\.example/,
      /Create the zone there, or delegate/,
    ],
  },
  'no permission in DNS': {
    rest: () => ({ accessKey: { id: 'LIMITEDKEY0000000001', secret: 'limited-secret' } }),
    says: [/403/, /DNS\.0030/, /dns:recordset:create/],
  },
  'a name that the CA rejects': {
    renew: { names: ['bad.shop.example'] },
    says: [/rejectedIdentifier: .*bad\.shop\.example/, /Take this name out of the certificate/],
  },
  'an order that becomes invalid': {
    acme: () => bound(MAC),
    says: [
      /gave up the order of shop: .*api\.shop\.example: unauthorized: Error retrieving TXT/,
      /public DNS \(delegation, CAA\)/,
    ],
  },
  'a CAA record that forbids': {
    answer: {
      status: 403,
      type: 'compound',
      detail: 'Error creating new order',
      subproblems: [
        {
          type: error('caa'),
          detail: 'CAA record for shop.example prevents issuance',
          identifier: { type: 'dns', value: 'api.shop.example' },
        },
      ],
    },
    says: [
      /api\.shop\.example: caa: CAA record for shop\.example prevents issuance/,
      /Allow this CA in the CAA/,
    ],
  },
  'a refusal in several parts': {
    answer: {
      status: 400,
      type: 'compound',
      detail: 'several names are refused',
      subproblems: ['api.shop.example', 'www.shop.example'].map((value) => ({
        type: error('rejectedIdentifier'),
        detail: 'policy forbids issuing',
        identifier: { type: 'dns', value },
      })),
    },
    says: [/several names are refused \(api\.shop\.example: .*; www\.shop\.example: .*policy forbids/],
  },
  'a rate limit': {
    answer: { status: 429, type: 'rateLimited', detail: 'too many certificates (5) already issued' },
    says: [/rateLimited: too many certificates \(5\) already issued\. Next attempt: 20\d\d-/],
  },
  'a clock that is wrong': {
    answer: {
      status: 400,
      type: 'malformed',
      detail: 'not now',
      date: new Date(Date.now() - 3 * 86_400_000),
    },
    says: [/malformed: not now/, /Set this machine's clock: it is 43\d\d minutes ahead of the CA's/],
  },
}

let world: RenewalCloud
let strict: Pebble
let scripted: Server
let answer: Case['answer']
const scriptedUrl = () => `http://127.0.0.1:${(scripted.address() as AddressInfo).port}`

/** At the CA that wants an external account, and cannot resolve any name. */
function bound(hmacKey: string | undefined) {
  return {
    directory: strict.directory,
    ca: 'strict.pem',
    profile: undefined,
    ...(hmacKey && { externalAccount: { keyId: 'kid-1', hmacKey } }),
  }
}

describe.skipIf(pebbleMissing())('tick, renewing with', () => {
  beforeAll(async () => {
    const list = ['dns:zone:list', 'dns:recordset:list', 'apig:*']
    world = await RenewalCloud.start({
      apig: ['api.shop.example'],
      seed: {
        accessKeys: [
          { id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' },
          { id: 'LIMITEDKEY0000000001', secret: 'limited-secret', actions: list },
        ],
      },
      pebble: { config: { domainBlocklist: ['bad.shop.example'] } },
    })
    strict = await startPebble({
      dns: '127.0.0.1:9',
      config: { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': MAC } },
    })
    await writeFile(join(world.cloud.folder, 'strict.pem'), strict.caPem)
    scripted = createServer((request, response) => {
      const base = scriptedUrl()
      request.resume()
      const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
        response
          .writeHead(status, {
            'content-type': 'application/json',
            'replay-nonce': randomBytes(8).toString('base64url'),
            ...headers,
          })
          .end(JSON.stringify(body))
      if (answer?.date) response.setHeader('date', answer.date.toUTCString())
      switch (request.url) {
        case '/page':
          return response.end('<html>welcome</html>')
        case '/dir':
          return json(200, {
            newNonce: `${base}/nonce`,
            newAccount: `${base}/account`,
            newOrder: `${base}/order`,
          })
        case '/account':
          return json(201, { status: 'valid' }, { location: `${base}/account/1` })
        case '/order': {
          const { status, type, detail, subproblems } = answer!
          return json(status, { type: error(type), detail, subproblems })
        }
        default:
          return json(200, {})
      }
    })
    await new Promise<void>((resolve) => scripted.listen(0, '127.0.0.1', resolve))
  }, 30_000)
  afterAll(async () => {
    scripted?.close()
    scripted?.closeAllConnections()
    await strict?.remove()
    await world?.close()
  })

  let serial = 0
  for (const [name, one] of Object.entries(cases))
    it(`${name}, says what, where and what to do, and leaves what is served alone`, async () => {
      answer = one.answer
      const acme = {
        ...world.authority(),
        ...(answer && { directory: `${scriptedUrl()}/dir`, profile: undefined }),
        ...one.acme?.(),
      }
      const { accessKey, ...rest } = one.rest?.() ?? {}
      // A store of its own: another case's waits are not this one's.
      const directory = `./bucket-${++serial}`
      await mkdir(join(world.cloud.folder, directory))
      const config = world.config(acme, one.renew, { ...rest, store: { directory } })
      if (accessKey) (config.cloud as Record<string, unknown>).auth = { accessKey }
      const before = await world.served()
      const printed = await world.cli('tick', config)
      const all = `${printed.stdout}\n${printed.stderr}`
      expect(printed.exitStatus, all).toBe(1)
      for (const pattern of one.says) expect(all).toMatch(pattern)
      expect(all).not.toMatch(
        /\n {4}at |undefined|\[object|PRIVATE KEY|a passphrase of the test|emulator-only-secret/,
      )
      expect(all).not.toContain(MAC.slice(4))
      expect(await world.served()).toEqual(before)
      await expect.poll(() => world.challenges()).toEqual([])
    }, 30_000)
})
