import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Issued } from '../../emulator/authority.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { call, outcome, PROJECT, seed } from './support.ts'

let emulator: Emulator
let issued: Issued
beforeAll(async () => {
  emulator = await startEmulator({ seed: seed() })
  issued = await emulator.intermediate.issue({
    names: ['api.example.com'],
    notAfter: new Date('2027-01-01T00:00:00Z'),
  })
})
afterAll(() => emulator.close())
beforeEach(() => emulator.reset(seed()))

const base = '/v3/scm/certificates'
const form = (more = {}) => ({
  name: 'api.example-com_1',
  certificate: issued.certificatePem,
  certificate_chain: issued.chainPem,
  private_key: issued.privateKeyPem,
  ...more,
})
const post = (path: string, body: unknown) => call(emulator, 'POST', path, body)
const get = (path: string) => call(emulator, 'GET', path)
const imported = async (more = {}) => String((await post(`${base}/import`, form(more))).body.certificate_id)

describe('SCM', () => {
  it('imports and answers with a 16-character id that is no gateway id', async () => {
    expect(await imported()).toMatch(/^scs\d{13}$/)
    expect(await imported({ certificate: issued.fullchainPem, certificate_chain: undefined })).toMatch(
      /^scs\d{13}$/,
    )
  })

  it('refuses what the tables refuse, with their codes', async () => {
    const other = await emulator.intermediate.issue({ names: ['x.example.com'] })
    const cases: [string, Record<string, unknown>][] = [
      ['400 SCM.0005', { name: 'ab' }],
      ['400 SCM.0005', { name: 'with space' }],
      ['400 SCM.0005', { unknown_field: 1 }],
      ['400 SCM.0005', { certificate: 'x'.repeat(4097) }],
      ['400 SCM.0054', { private_key: '' }],
      ['400 SCM.0053', { certificate: ' ' }],
      ['400 SCM.0006', { certificate: 'hello' }],
      [
        '400 SCM.0114',
        { private_key: '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMI\n-----END ENCRYPTED PRIVATE KEY-----\n' },
      ],
      ['400 SCM.0012', { private_key: 'hello' }],
      ['400 SCM.0014', { private_key: other.privateKeyPem }],
      ['400 SCM.0013', { certificate_chain: 'hello' }],
      ['400 SCM.0079', { certificate: issued.fullchainPem }],
      ['400 SCM.0079', { certificate_chain: other.certificatePem }],
    ]
    for (const [expected, change] of cases) {
      expect(outcome(await post(`${base}/import`, form(change))), JSON.stringify(change).slice(0, 60)).toBe(
        expected,
      )
    }
    expect(emulator.state().scm).toEqual([])
  })

  it('reads duplicate_check as the rule says, and takes duplicates without it', async () => {
    await imported()
    expect(outcome(await post(`${base}/import`, form()))).toBe('200')
    expect(outcome(await post(`${base}/import`, form({ duplicate_check: true })))).toBe('400 SCM.0005')
    expect(outcome(await post(`${base}/import`, form({ duplicate_check: false })))).toBe('200')
    emulator.setRules({ scmDuplicateCheck: 'allow' })
    expect(outcome(await post(`${base}/import`, form({ duplicate_check: true })))).toBe('200')
    expect(outcome(await post(`${base}/import`, form({ duplicate_check: false })))).toBe('400 SCM.0005')
  })

  it('lists 10, 20 or 50 and nothing else, with local times without a zone', async () => {
    for (let n = 0; n < 11; n += 1) await imported({ name: `cert_${n}` })
    const first = await get(base)
    expect(first.body.total_count).toBe(11)
    expect(first.body.certificates).toHaveLength(10)
    expect((await get(`${base}?limit=50&offset=10`)).body.certificates).toHaveLength(1)
    expect(outcome(await get(`${base}?limit=25`))).toBe('400 SCM.0005')
    expect(outcome(await get(`${base}?offset=-1`))).toBe('400 SCM.0005')
    const [row] = (await get(`${base}?content=cert_3`)).body.certificates as Record<string, unknown>[]
    expect(row).toMatchObject({
      name: 'cert_3',
      domain: 'api.example.com',
      status: 'UPLOAD',
      domain_type: 'SINGLE_DOMAIN',
      expire_time: '2027-01-01 08:00:00.0',
    })
  })

  it('shows one without expire_time, deletes it, and knows which id is not one', async () => {
    const id = await imported()
    const shown = await get(`${base}/${id}`)
    expect(shown.body).toMatchObject({ id, push_support: 'ON', not_after: '2027-01-01 08:00:00.0' })
    expect(shown.body).not.toHaveProperty('expire_time')
    expect(outcome(await call(emulator, 'DELETE', `${base}/${id}`))).toBe('204')
    expect(outcome(await get(`${base}/${id}`))).toBe('404 SCM.0020')
    expect(outcome(await get(`${base}/${'f'.repeat(32)}`))).toBe('400 SCM.0008')
  })

  it('makes another copy with every push, and counts the copies of each target', async () => {
    const id = await imported()
    const push = (target_service: string, target_project: string) =>
      post(`${base}/${id}/push`, { target_service, target_project })
    expect(outcome(await push('ELB', 'eu-de'))).toBe('204')
    expect(outcome(await push('ELB', 'eu-de'))).toBe('204')
    expect(outcome(await push('CDN', 'eu-de'))).toBe('204')
    expect(outcome(await push('CDN', 'eu-de'))).toBe('400 SCM.0028')
    expect(outcome(await push('APIG', 'eu-de'))).toBe('400 SCM.0030')
    expect(outcome(await push('WAF', 'no region'))).toBe('400 SCM.0028')
    expect(emulator.state().pushes).toEqual([
      { certificateId: id, service: 'ELB', project: 'eu-de', copies: 2 },
      { certificateId: id, service: 'CDN', project: 'eu-de', copies: 1 },
    ])
    const deployed = await post('/v3/scm/deployed-resources', {
      certificate_ids: [id],
      service_names: ['ELB', 'WAF'],
    })
    expect(deployed.body.results).toMatchObject([
      {
        certificate_id: id,
        total_num: 2,
        deployed_resources: [
          {
            service: 'ELB',
            resource_num: 2,
            region_resources: [{ region_id: 'eu-de', is_error: false, resources: [{}, {}] }],
          },
          { service: 'WAF', resource_num: 0, region_resources: [] },
        ],
      },
    ])
  })

  it('reports a failed target of a batch inside a 200', async () => {
    const id = await imported()
    const answer = await post(`${base}/${id}/batch-push`, {
      target_projects: ['eu-de', 'moon'],
      target_service: 'WAF',
    })
    expect(answer.status).toBe(200)
    expect(answer.body.results).toEqual([
      { project_name: 'eu-de', cert_id: expect.stringMatching(/^[0-9a-f]{32}$/), message: 'success' },
      { project_name: 'moon', cert_id: '', message: 'invalid region' },
    ])
  })

  it('deploys to resources, lists what fails, and does not delete what is deployed', async () => {
    const id = await imported()
    const resources = [{ domain_name: 'api.example.com' }, { domain_name: 'other.example.com' }]
    const answer = await post(`${base}/${id}/deploy`, { service_name: 'CDN', resources })
    expect(answer.body.failure_list).toMatchObject([{ resource: 'other.example.com' }])
    expect(outcome(await call(emulator, 'DELETE', `${base}/${id}`))).toBe('400 SCM.0010')
  })
})

describe('SMN', () => {
  const topics = `/v2/${PROJECT}/notifications/topics`
  const urn = `urn:smn:eu-de:${PROJECT}:alerts`
  const publish = (body: unknown, name = urn) => post(`${topics}/${name}/publish`, body)

  it('creates a topic once: 201, then 200', async () => {
    const first = await post(topics, { name: 'alerts' })
    expect([first.status, first.body.topic_urn]).toEqual([201, urn])
    expect((await post(topics, { name: 'alerts' })).status).toBe(200)
  })

  it('publishes within the rules of the fields and keeps what was published', async () => {
    await post(topics, { name: 'alerts' })
    expect(outcome(await publish({ subject: 'rotation failed', message: 'api.example.com' }))).toBe('200')
    const message_structure = JSON.stringify({ default: 'x', email: 'y' })
    expect(outcome(await publish({ message_structure }))).toBe('200')
    expect(emulator.state().messages).toMatchObject([
      { topicUrn: urn, subject: 'rotation failed', message: 'api.example.com' },
      { messageStructure: { default: 'x', email: 'y' } },
    ])
    expect(outcome(await publish({ subject: 'x'.repeat(513), message: 'x' }))).toBe('403 SMN.0008')
    expect(outcome(await publish({ subject: 'a\nb', message: 'x' }))).toBe('403 SMN.0008')
    expect(outcome(await publish({ subject: 'x' }))).toBe('403 SMN.0009')
    expect(outcome(await publish({ message: 'x'.repeat(256 * 1024 + 1) }))).toBe('403 SMN.0009')
    expect(outcome(await publish({ message_structure: '{"email":"y"}' }))).toBe('400 SMN.0021')
    expect(outcome(await publish({ message_structure: { default: 'x' } }))).toBe('400 SMN.0021')
    expect(outcome(await publish({ message: 'x', time_to_live: 60 }))).toBe('400 SMN.0000')
    expect(outcome(await publish({ message: 'x' }, `${urn}2`))).toBe('404 SMN.0006')
    expect(outcome(await publish({ message: 'x' }, 'alerts'))).toBe('400 SMN.0005')
  })
})
