import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { draftConfig, grouped, type SurveyedGateway } from '../../functions/commands/draft.ts'
import { loadConfig } from '../../shared/config/load.ts'

const old = { names: ['*.shop.example', 'shop.example'], notAfter: new Date('2026-12-05T00:00:00Z') }
const gateway = (
  flavour: 'apig' | 'roma',
  hosts: Record<string, SurveyedGateway['domains'][number]['bound']>,
) => ({
  flavour,
  instanceId:
    flavour === 'apig' ? 'f0fa1789-3b76-433b-a787-9892951c620e' : 'aa1b2c3d-0000-4000-8000-000000000001',
  name: `the "${flavour}" one: #1`,
  domains: Object.entries(hosts).map(([host, bound]) => (bound ? { host, bound } : { host })),
})
const names = (gateways: SurveyedGateway[]) =>
  grouped(gateways).map(({ name, gateways: at }) => [name, at.map(({ hosts }) => hosts)])

describe('domains that share a certificate', () => {
  it('stand together, across gateways; what is bare stands alone', () => {
    const shop = gateway('apig', {
      'api.shop.example': old,
      '*.shop.example': old,
      'bare.shop.example': undefined,
    })
    const erp = gateway('roma', {
      'erp.shop.example': old,
      'docs.other.example': { ...old, names: ['docs.other.example'] },
    })
    expect(names([shop, erp])).toEqual([
      ['shop', [['api.shop.example', '*.shop.example'], ['erp.shop.example']]],
      ['bare', [['bare.shop.example']]],
      ['docs', [['docs.other.example']]],
    ])
  })

  it.each([
    [['www.example'], 'www'],
    [['*.example'], 'example'],
    [['a.one.example', 'b.two.example'], 'one'],
    [['xn--bcher-kva.example'], 'xn--bcher-kva'],
    [['_dmarc.example'], 'dmarc'],
  ])('%j are called %s', (hosts, name) => {
    expect(names([gateway('apig', Object.fromEntries(hosts.map((host) => [host, old])))])[0]![0]).toBe(name)
  })

  it('have names of their own where people would choose the same', () => {
    const other = { ...old, notAfter: new Date('2027-01-01T00:00:00Z') }
    expect(
      names([gateway('apig', { 'a.shop.example': old, 'a.shop.example.': other })]).map(([name]) => name),
    ).toEqual(['a', 'a-2'])
  })
})

describe('the draft', () => {
  it('is a config that the loader takes, with nothing invented in it', () => {
    const certificates = grouped([
      gateway('apig', { 'api.shop.example': old, '*.shop.example': old, 'no.example': undefined }),
    ])
    const text = draftConfig(certificates, {
      region: 'eu-de',
      projectId: '0123456789abcdef0123456789abcdef',
      store: { bucket: 'my-certificates' },
      accessKey: { id: '${HW_ACCESS_KEY}', secret: '${HW_SECRET_KEY}' },
    })
    const environment = { HW_ACCESS_KEY: 'id', HW_SECRET_KEY: 'secret' }
    const config = loadConfig(text, { file: 'draft', environment })
    expect(Object.keys(config.certificates)).toEqual(['shop', 'no'])
    expect(config.certificates.shop!.gateways).toMatchObject([
      { flavour: 'apig', domains: ['api.shop.example', '*.shop.example'] },
    ])
    expect(parse(text)).toMatchObject({ cloud: { projectId: '0123456789abcdef0123456789abcdef' } })
    expect(text.split('\n').length).toBeLessThan(30)
  })
})
