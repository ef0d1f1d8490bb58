import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { deploy, remove } from '../../deploy/deployment.ts'
import { readService } from '../../deploy/desired.ts'
import { type Cloud, permissions, policy, policyFiles, type Role } from '../../deploy/policies.ts'
import { openSession } from '../../deploy/session.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { runChecks } from '../../shared/runtime/run-checks.ts'
import { seedFor, TestCloud } from '../support/cloud.ts'
import { credentials, makeBucket, root, s3Client, serviceInput, smallArtifact } from './support.ts'

const listed = (role: Role) => permissions[role].map(({ action }) => action)

/** One region of each cloud. */
const regions = { 'huawei-cloud': 'cn-north-4', 'open-telekom-cloud': 'eu-de' } as const
const clouds = Object.keys(regions) as Cloud[]

/** The actions of a role's policies as people attach them. */
const granted = (role: Role, cloud: Cloud) =>
  Object.values(policy(role, cloud)).flatMap(({ Statement }) => Statement.flatMap(({ Action }) => Action))

/** Every action that the recorded calls asked for, the documented dependencies included. */
function seen(emulator: Emulator): string[] {
  const actions = emulator
    .calls()
    .flatMap(({ action, dependsOn }) => [...(action ? [action] : []), ...dependsOn])
  return [...new Set(actions)].toSorted()
}

/** A key that may do exactly what the role's policy says, and one that may do everything. */
const keysFor = (role: Role, cloud: Cloud = 'huawei-cloud') => [
  { id: 'LIMITEDKEY0000000001', secret: 'limited-key-secret', actions: granted(role, cloud) },
  { id: 'EVERYTHING0000000001', secret: 'everything-secret' },
]

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

describe('the policies', () => {
  it('are the files in policies/, none more and none less (npm run policies writes them)', () => {
    const files = policyFiles()
    expect(
      readdirSync(join(root, 'policies'))
        .filter((name) => name.endsWith('.json'))
        .toSorted(),
    ).toEqual(Object.keys(files).toSorted())
    for (const [name, text] of Object.entries(files))
      expect(readFileSync(join(root, 'policies', name), 'utf8'), name).toBe(text)
  })

  it('have no wildcard among their actions, and nothing of SCM or ROMA Connect on Open Telekom Cloud', () => {
    for (const [name, text] of Object.entries(policyFiles())) {
      const { Statement } = JSON.parse(text) as { Statement: { Action: string[]; Resource?: string[] }[] }
      for (const { Action } of Statement) expect(Action.join(), name).not.toContain('*')
      if (name.includes('open-telekom-cloud'))
        expect(text).not.toMatch(/scm:|roma:|cdn:|apig:certificate|iam:agencies:pass|listProjects"/)
      else expect(text).not.toMatch(/scm:cert:import|listDeployedResources|listProjectsForUser/)
      // A policy of a project must not name a global service, nor the other way round.
      if (name.includes('-project.')) expect(text).not.toMatch(/iam:|obs:/)
      if (name.includes('agency-storage')) {
        const writing = Statement.filter((one) => one.Action.some((action) => /Put|Delete/.test(action)))
        expect(writing.flatMap(({ Resource }) => Resource ?? []).join()).not.toMatch(
          /config|certificates\/\*/,
        )
      }
    }
  })

  it.each(clouds)(
    'let the agency of %s rotate by rebinding and in place, push, and use the bucket, and everything that this asks for is granted',
    async (of) => {
      const huawei = of === 'huawei-cloud'
      const hosts = { apig: ['api.shop.example'], roma: huawei ? ['erp.shop.example'] : [] }
      const seed = {
        ...seedFor(hosts.apig, hosts.roma),
        region: regions[of],
        accessKeys: keysFor('agency', of),
      }
      const cloud = await TestCloud.start({ ...hosts, seed })
      open.push(cloud)
      const { emulator } = cloud
      const everything = s3Client(emulator, emulator.ready.seed.accessKeys[1]!)
      await makeBucket(everything, 'certificates', {})
      emulator.clearCalls()
      const bucket = {
        store: { bucket: 'certificates', region: 'eu-de', endpoint: emulator.url, pathStyle: true },
      }
      for (const strategy of ['rebind', 'update']) {
        const push = ['ELB', 'CDN'].map((service) => ({ service, project: regions[of] }))
        const certificate = huawei ? { push } : {}
        const wiring = await cloud.wire(cloud.config(certificate, { strategy }, bucket))
        const bundle = await cloud.issue()
        await wiring.store.put('incoming/shop/fullchain.pem', bundle.fullchainPem)
        await wiring.store.put('incoming/shop/privkey.pem', bundle.privateKeyPem)
        const report = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
        expect(report.failures).toEqual([])
        expect(report.outcomes.map(({ status, sentence }) => ({ status, sentence }))).toMatchObject([
          { status: 'rotated' },
        ])
      }
      everything.destroy()
      const wiring = await cloud.wire(
        cloud.config(huawei ? { push: [{ service: 'ELB', project: regions[of] }] } : {}, {}, bucket),
      )
      const { checks } = await runChecks(wiring, cloud.parties(wiring), { readOnly: false, send: false })
      expect(checks.filter(({ group, result }) => result !== 'passed' && group !== 'alerts')).toEqual([])
      const asked = seen(emulator)
      const allowed = granted('agency', of)
      expect(asked.filter((action) => !allowed.includes(action))).toEqual([])
      expect(emulator.calls().filter(({ status }) => status === 403)).toEqual([])
      // What the list has beyond this belongs to retirement, alerts, renewal and a config without a project id.
      const others = allowed.filter(
        (action) => !asked.includes(action) && !/^(smn|dns|iam|cdn):/.test(action),
      )
      expect(
        others.filter(
          (action) =>
            !/certificate:(delete|listBoundDomain|list)$|scm:cert:(delete|list)$|(groups|domains):get$/.test(
              action,
            ),
        ),
      ).toEqual([])
    },
  )

  it('name every action that a call in the sources names, and no other', () => {
    const named = (folder: string) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .flatMap((name) => [
          ...readFileSync(join(root, folder, name), 'utf8').matchAll(/permission: '([a-z]+:[A-Za-z:]+)'/g),
        ])
        .map((match) => match[1]!)
    const dependencies = [
      'apig:domains:get',
      'apig:instances:get',
      'cdn:configuration:queryHttpsConf',
      'iam:projects:listProjectsForUser',
    ]
    const agency = listed('agency').filter((action) => !/^(obs|roma):/.test(action))
    expect([...new Set([...named('shared'), ...dependencies])].toSorted()).toEqual(agency.toSorted())
    expect(named('deploy').filter((action) => !listed('installer').includes(action))).toEqual([])
  })

  it('let the deployer deploy, change and remove, and everything that this asks for is listed', async () => {
    const emulator = await startEmulator({
      seed: { accessKeys: keysFor('deployer', 'open-telekom-cloud'), agencies: [{ name: 'small' }] },
    })
    open.push(emulator)
    const timer = (schedule: string, status = 'ACTIVE') => ({
      events: [
        { triggerTypeCode: 'TIMER', status, eventData: { name: 'tick', scheduleType: 'Rate', schedule } },
      ],
    })
    const steps = [timer('30m'), timer('10m'), timer('10m', 'DISABLED')]
    for (const [i, step] of steps.entries()) {
      const service = readService(serviceInput(emulator, step, { keepVersions: 1, projectId: '' }))
      const session = await openSession(service, credentials(emulator))
      const parties = { functionGraph: session.functionGraph, clock: systemClock, say: () => {} }
      await deploy(service, new Map([['one', smallArtifact(String(i))]]), parties)
      await session.functionGraph.invoke('small-test-one', {})
      await session.logs('small-test-one', new Date(0))
      if (step === steps.at(-1)) await remove(service, parties)
      await session.close()
    }
    // What is asked for before, and for the way back: setup-steps.test.ts.
    const notCalled = /^iam:agencies:|^obs:|:getCode$/
    expect(seen(emulator)).toEqual(
      granted('deployer', 'open-telekom-cloud')
        .filter((action) => !notCalled.test(action))
        .toSorted(),
    )
    expect(emulator.calls().filter(({ status }) => status === 403)).toEqual([])
  })

  it('let the uploader write bundles and read nothing', async () => {
    const emulator = await startEmulator({ seed: { accessKeys: keysFor('uploader') } })
    open.push(emulator)
    const [limited, everything] = emulator.ready.seed.accessKeys
    const owner = s3Client(emulator, everything!)
    await makeBucket(owner, 'certificates', { 'deployed/shop/privkey.pem': 'secret' })
    const uploader = s3Client(emulator, limited!)
    const { PutObjectCommand, GetObjectCommand, DeleteObjectCommand, ListObjectsCommand } = await import(
      '@aws-sdk/client-s3'
    )
    const at = { Bucket: 'certificates', Key: 'incoming/shop/bundle.pem' }
    await uploader.send(new PutObjectCommand({ ...at, Body: 'a bundle' }))
    for (const command of [
      new GetObjectCommand({ ...at, Key: 'deployed/shop/privkey.pem' }),
      new DeleteObjectCommand(at),
      new ListObjectsCommand({ Bucket: at.Bucket }),
    ])
      await expect(uploader.send(command as never)).rejects.toMatchObject({ name: 'AccessDenied' })
    owner.destroy()
    uploader.destroy()
  })
})
