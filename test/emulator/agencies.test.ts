import { afterEach, describe, expect, it } from 'vitest'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { accessKeyCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import { makeBucket, s3Client, smallArtifact } from '../deploy/support.ts'

const open: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

const AGENCIES = '/v3.0/OS-AGENCY/agencies'
const ROLES = '/v3.0/OS-ROLE/roles'

async function account() {
  const emulator = await startEmulator()
  const dispatcher = createDispatcher()
  open.push(emulator, dispatcher)
  const [key] = emulator.ready.seed.accessKeys
  const { project } = emulator.ready.seed
  const http = createHttpClient({
    service: 'iam',
    endpoint: emulator.url,
    credentials: accessKeyCredentials({ id: key!.id, secret: new Secret(key!.secret) }, systemClock),
    clock: systemClock,
    timeoutMs: 10_000,
    dispatcher,
    projectId: project.id,
  })
  const send = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown) =>
    (await http.request({ operation: 'ask', method, path, ...(body === undefined ? {} : { body }) }))
      .body as Record<string, Record<string, unknown>>
  const agency = (trust = 'op_svc_cff', name = 'rotator') =>
    send('POST', AGENCIES, { agency: { name, domain_id: project.domainId, trust_domain_name: trust } })
  const policy = (type: string, ...Statement: object[]) =>
    send('POST', ROLES, {
      role: { display_name: `p${type}`, type, description: 'd', policy: { Version: '1.1', Statement } },
    })
  return { emulator, project, send, agency, policy }
}

/** A function that says with which credentials it runs. */
async function runAs(emulator: Emulator, send: Awaited<ReturnType<typeof account>>['send'], xrole: string) {
  const code = smallArtifact().zip
  await send('POST', `/v2/${emulator.ready.seed.project.id}/fgs/functions`, {
    func_name: 'f',
    package: 'default',
    runtime: 'Node.js20.15',
    type: 'v2',
    handler: 'index.handler',
    memory_size: 128,
    timeout: 10,
    xrole,
    code_type: 'zip',
    func_code: { file: Buffer.from(code).toString('base64') },
  })
  const urn = `urn:fss:eu-de:${emulator.ready.seed.project.id}:function:default:f`
  await send('POST', `/v2/${emulator.ready.seed.project.id}/fgs/functions/${urn}/invocations`, {})
  const keys = emulator.ready.seed.accessKeys
  const { id, secret, securityToken } = keys.at(-1)!
  const client = s3Client(emulator, { id, secret })
  client.config.credentials = async () => ({
    accessKeyId: id,
    secretAccessKey: secret,
    sessionToken: securityToken!,
  })
  return client
}

describe('agencies and policies', () => {
  it('give a function what its policies say, by action and resource, and nothing before they are granted', async () => {
    const { emulator, project, send, agency, policy } = await account()
    const owner = s3Client(emulator)
    await makeBucket(owner, 'mine', { 'config/a': 'text', 'other/b': 'text' })
    const { id } = (await agency()).agency!
    const client = await runAs(emulator, send, 'rotator')
    const { GetObjectCommand, PutObjectCommand } = await import('@aws-sdk/client-s3')
    const read = (Key: string) => client.send(new GetObjectCommand({ Bucket: 'mine', Key }))
    await expect(read('config/a')).rejects.toMatchObject({ name: 'AccessDenied' })
    const role = (
      await policy('AX', {
        Effect: 'Allow',
        Action: ['obs:object:GetObject'],
        Resource: ['OBS:*:*:object:mine/config/*'],
      })
    ).role!
    await send('PUT', `/v3.0/OS-AGENCY/domains/${project.domainId}/agencies/${id}/roles/${role.id}`)
    await expect(read('config/a')).resolves.toBeDefined()
    await expect(read('other/b')).rejects.toMatchObject({ name: 'AccessDenied' })
    await expect(
      client.send(new PutObjectCommand({ Bucket: 'mine', Key: 'config/a', Body: 'x' })),
    ).rejects.toMatchObject({ name: 'AccessDenied' })
    expect(emulator.state().agencies).toEqual([{ name: 'rotator', policies: ['pAX'] }])
    owner.destroy()
    client.destroy()
  })

  it('refuse what has no effect: a policy on the wrong level, one that mixes levels, an agency that does not trust', async () => {
    const { emulator, project, send, agency, policy } = await account()
    const { id } = (await agency()).agency!
    const allow = (...Action: string[]) => ({ Effect: 'Allow', Action })
    await expect(policy('XA', allow('apig:groups:list', 'iam:projects:listProjects'))).rejects.toThrow('XA')
    await expect(policy('AX', { ...allow('obs:object:GetObject'), Resource: ['mine/*'] })).rejects.toThrow(
      'Resource',
    )
    const { role } = await policy('XA', allow('apig:groups:list'))
    await expect(
      send('PUT', `/v3.0/OS-AGENCY/domains/${project.domainId}/agencies/${id}/roles/${role!.id}`),
    ).rejects.toThrow('XA cannot be granted on a domain')
    await send('PUT', `/v3.0/OS-AGENCY/projects/${project.id}/agencies/${id}/roles/${role!.id}`)
    await expect(send('DELETE', `${ROLES}/${role!.id}`)).rejects.toThrow('still granted')
    await expect(agency()).rejects.toMatchObject({ facts: { status: 409 } })
    await agency('somebody_else', 'foreign')
    await expect(runAs(emulator, send, 'foreign')).rejects.toThrow('does not trust FunctionGraph')
    await expect(runAs(emulator, send, 'nobody')).rejects.toThrow('does not exist')
  })
})
