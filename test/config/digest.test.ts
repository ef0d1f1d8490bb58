import { expect, test } from 'vitest'
import { configDigest } from '../../shared/config/digest.ts'
import { loadConfig } from '../../shared/config/load.ts'

function digest(body: string): string {
  const config = loadConfig(
    `cloud: { region: eu-de, auth: { token: t } }\nstore: { directory: x }\ncertificates: { shop: ${body} }`,
    { file: 'rotation.yaml', environment: {} },
  )
  return configDigest(config.certificates.shop!)
}

const gateway = '{ flavour: apig, instanceId: a, domains: [a.example] }'

test('The digest of a certificate does not depend on the order of names or on spelled-out defaults', () => {
  expect(digest(`{ gateways: [${gateway}], allowDowngrade: false, trust: any }`)).toBe(
    digest('{ gateways: [{ domains: [a.example], instanceId: a, flavour: apig, scope: instance }] }'),
  )
})

test.each([
  ['a domain', '{ gateways: [{ flavour: apig, instanceId: a, domains: [a.example, b.example] }] }'],
  ['the instance', '{ gateways: [{ flavour: apig, instanceId: b, domains: [a.example] }] }'],
  ['trust', `{ gateways: [${gateway}], trust: public }`],
  ['a password', `{ gateways: [${gateway}], password: one }`],
  ['the downgrade rule', `{ gateways: [${gateway}], allowDowngrade: true }`],
])('The digest changes with %s', (_, body) => {
  expect(digest(body)).not.toBe(digest(`{ gateways: [${gateway}] }`))
})

test('The digest tells two passwords apart and shows neither', () => {
  const one = digest(`{ gateways: [${gateway}], password: one }`)
  expect(one).not.toBe(digest(`{ gateways: [${gateway}], password: two }`))
  expect(one).toMatch(/^[0-9a-f]{32}$/)
})

test('The digest stays the same when only alerts, renewal or retirement change', () => {
  expect(
    digest(
      `{ gateways: [${gateway}], owner: ops, snoozeUntil: "2026-12-31", waitForPair: 2d, retire: { keep: 3 } }`,
    ),
  ).toBe(digest(`{ gateways: [${gateway}] }`))
})
