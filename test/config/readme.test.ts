import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { loadConfig } from '../../shared/config/load.ts'
import { root } from '../deploy/support.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const blocks = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!)
const environment = new Proxy({} as Record<string, string>, { get: () => 'https://hooks.example/x' })

it('the configs of the README load as they stand, the fragments under the whole one', () => {
  const [whole, ...fragments] = blocks
  expect(whole).toMatch(/^cloud:/)
  const config = loadConfig(whole!, { file: 'README.md', environment })
  expect(config.certificates.shop!.gateways[0]!.domains).toEqual(['api.shop.example', '*.shop.example'])
  const alerts = fragments.find((text) => text.startsWith('alerts:'))!
  expect(loadConfig(`${whole}${alerts}`, { file: 'README.md', environment }).alerts.channels).toHaveLength(2)
  const renew = fragments.find((text) => text.includes('renew:'))!
  const gateways = /\n {4}gateways:\n([\s\S]*?)\n {4}push:/.exec(whole!)![1]
  const cloud = whole!.slice(0, whole!.indexOf('certificates:'))
  const filled = renew.replace('gateways: [...]', `gateways:\n${gateways}`)
  expect(
    loadConfig(`${cloud}${filled}`, { file: 'README.md', environment }).certificates.shop!.renew,
  ).toBeDefined()
})
