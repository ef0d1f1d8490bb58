import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openBucket } from '../../deploy/bucket.ts'
import { commands } from '../../deploy/commands.ts'
import { planRollback } from '../../deploy/deployment.ts'
import { readService } from '../../deploy/desired.ts'
import { accessOf, readInstallation, serviceOf } from '../../deploy/installation.ts'
import { policy } from '../../deploy/policies.ts'
import { preflight } from '../../deploy/preflight.ts'
import { planRemoval } from '../../deploy/removal.ts'
import { readServiceFile } from '../../deploy/service-file.ts'
import { openSession } from '../../deploy/session.ts'
import { applyAll, partiesOf, planSetup, planUpdate } from '../../deploy/setup.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import type { Failure } from '../../shared/base/failure.ts'
import { smallArtifact } from './support.ts'

vi.setConfig({ testTimeout: 240_000 })

const BUCKET = 'my-certificates'
const ACTIONS = Object.values(policy('installer', 'open-telekom-cloud')).flatMap(({ Statement }) =>
  Statement.flatMap(({ Action }) => Action),
)
const seedFor = (actions?: string[]): SeedInput => ({
  project: { id: '0123456789abcdef0123456789abcdef', domainId: 'fedcba9876543210fedcba9876543210' },
  accessKeys: [
    { id: 'EVERYTHING0000000001', secret: 'everything-secret' },
    { id: 'LIMITEDKEY0000000001', secret: 'limited-secret', actions: actions ?? ACTIONS },
  ],
})

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ seed: seedFor() })
})
afterAll(() => emulator.close())

type Who = 'everything' | 'limited'
const keys = {
  everything: { HW_ACCESS_KEY: 'EVERYTHING0000000001', HW_SECRET_KEY: 'everything-secret' },
  limited: { HW_ACCESS_KEY: 'LIMITEDKEY0000000001', HW_SECRET_KEY: 'limited-secret' },
}
const packages = (text: string) => async () => {
  const artifact = smallArtifact(text)
  return new Map(['on-upload', 'on-timer'].map((key) => [key, artifact]))
}

/** Functions that answer at once in place of ours: what is tested here is the account around them. */
async function account(who: Who, more = '') {
  const { url } = emulator
  const text = `cloud:
  region: eu-de
  endpoints: { iam: "${url}", apig: "${url}", smn: "${url}", functiongraph: "${url}" }
store: { bucket: ${BUCKET}, endpoint: "${url}", pathStyle: true }
certificates: { shop: { gateways: [ { flavour: apig, instanceId: f0fa1789-3b76-433b-a787-9892951c620e, domains: [a.example] } ] } }
${more}`
  const options = { file: 'rotation.yaml', folder: '/', environment: {}, stage: 'test' }
  const installation = await readInstallation(text, options)
  const session = await openSession(accessOf(installation), keys[who])
  const said: string[] = []
  const parties = partiesOf(session, (line) => void said.push(line))
  return { installation, session, parties, said }
}

async function setUp(who: Who = 'everything', more = '', code = 'one'): Promise<number> {
  const { installation, session, parties } = await account(who, more)
  try {
    const { parts } = await planSetup(installation, session, parties, packages(code))
    await applyAll(parts)
    return parts.length
  } finally {
    await session.close()
  }
}

async function remove(who: Who, asked: { all: boolean; bucketName?: string }) {
  const { installation, session, parties } = await account(who)
  try {
    const plan = await planRemoval(installation, session, parties, asked)
    await applyAll(plan.parts)
    return plan
  } finally {
    await session.close()
  }
}

const changing = () => emulator.calls().filter(({ mutating }) => mutating)

/** What there is, without ids and instants. */
function shape() {
  const { agencies, policies, buckets, functions, topics } = emulator.state()
  return {
    ...{ agencies, buckets, topics },
    policies: policies.toSorted((a, b) => a.displayName.localeCompare(b.displayName)),
    functions: functions.map(({ name, versions, triggers }) => ({
      name,
      triggers,
      versions: versions.length,
    })),
  }
}

describe('setup', () => {
  it('converges wherever it breaks off: at every changing call, refused, lost on the way, or its answer lost', async () => {
    await emulator.reset(seedFor())
    await setUp()
    const whole = shape()
    const calls = changing().map(({ route }) => route)
    expect(calls.length).toBeGreaterThan(18)
    const denied = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>'
    const faults = {
      refused: (route: string) =>
        route.startsWith('obs.')
          ? { status: 403, reply: denied, effect: 'none' as const }
          : { status: 403, errorCode: 'X.0403', message: 'not you' },
      'lost on the way': () => ({ lose: 'request' as const }),
      'answer lost': () => ({ lose: 'reply' as const }),
    }
    const rows: string[] = []
    for (const [kind, fault] of Object.entries(faults))
      for (const [i, route] of calls.entries()) {
        await emulator.reset(seedFor())
        const nth = calls.slice(0, i + 1).filter((one) => one === route).length
        emulator.faults.add({ route, nth, fault: fault(route) })
        const broke = await setUp().then(
          () => false,
          () => true,
        )
        emulator.faults.clear()
        await setUp()
        const left = await setUp()
        const same = JSON.stringify(shape()) === JSON.stringify(whole)
        rows.push(
          `${same && left === 0 ? 'converged' : 'NOT'} ${kind} ${i} ${route} ${broke ? 'broke' : 'went on'}`,
        )
      }
    expect(rows.filter((row) => row.startsWith('NOT'))).toEqual([])
    expect(rows).toHaveLength(calls.length * 3)
    expect(rows.filter((row) => row.endsWith('broke')).length).toBeGreaterThan(calls.length * 1.5)
  })

  it('needs the actions of policies/installer-* and no other, and names the one that is missing', async () => {
    await emulator.reset(seedFor())
    await setUp('limited')
    const needed = [...new Set(emulator.calls().flatMap(({ action }) => action ?? []))].sort()
    expect(emulator.calls().filter(({ status }) => status === 403)).toEqual([])
    for (const action of needed) {
      await emulator.reset(seedFor(ACTIONS.filter((one) => one !== action)))
      const failure = await setUp('limited').then(
        () => undefined,
        (thrown: Failure) => thrown,
      )
      // The same call has another name on the other cloud.
      const named = action.replace('listProjectsForUser', 'listProjects')
      expect(`${failure?.message} ${failure?.next}`, action).toContain(named)
      await setUp('everything')
      expect(await setUp('everything'), action).toBe(0)
    }
  })

  it('grants what a changed config needs, takes what it needs no more, and keeps five older configs', async () => {
    await emulator.reset(seedFor())
    await setUp()
    const granted = () => emulator.state().agencies[0]!.policies.map((name) => name.split('-').at(-1))
    expect(granted()).toEqual(['project', 'iam', 'storage'])
    const { installation, session, parties } = await account('everything', 'dnsServers: ["127.0.0.1:53"]')
    const { parts } = await planSetup(installation, session, parties, packages('one'))
    expect(parts.flatMap(({ lines }) => lines)).toEqual([
      expect.stringMatching(
        /^~ config\/rotation.yaml in the bucket; the one before stays as config\/older\/rotation-/,
      ),
    ])
    await session.close()
    for (let i = 1; i <= 8; i++) {
      emulator.clock.advance(60_000)
      await setUp('everything', `requestTimeout: ${i}s`)
    }
    const [bucket] = emulator.state().buckets
    expect(bucket!.objects.filter((key) => key.startsWith('config/older/'))).toHaveLength(5)
    expect(await setUp('everything', 'requestTimeout: 8s')).toBe(0)
  })
})

describe('what follows', () => {
  it('deploys and goes back, and takes away only what it was told to', async () => {
    await emulator.reset(seedFor())
    await setUp('limited')
    const first = await account('limited')
    await preflight(
      (await planUpdate(first.installation, first.session, first.parties)).service,
      first.session,
      first.parties.say,
      {
        configInPlace: true,
      },
    )
    expect(first.said).toEqual([])
    await setUp('limited', '', 'two')
    const { service } = await planSetup(first.installation, first.session, first.parties, packages('two'))
    await applyAll(await planRollback(service, first.parties))
    const answer = await first.session.functionGraph.invoke('cert-rotation-test-on-timer', {})
    expect(JSON.parse(answer.result).text).toBe('one')
    await first.session.close()

    const before = emulator.state()
    const kept = await remove('limited', { all: false })
    expect(kept.stays.join('\n')).toMatch(
      /agency.*\n.*project\n.*iam\n.*storage\ntopic.*\nbucket my-certificates/,
    )
    expect(emulator.state()).toMatchObject({
      functions: [],
      agencies: before.agencies,
      buckets: before.buckets,
    })
    const unnamed = await remove('limited', { all: true, bucketName: 'another' })
    expect(unnamed.bucketToName).toEqual({ name: BUCKET, objects: expect.any(Number) })
    expect(emulator.state()).toMatchObject({
      agencies: [],
      policies: [],
      topics: [],
      buckets: before.buckets,
    })
    await remove('limited', { all: true, bucketName: BUCKET })
    expect(emulator.state().buckets).toEqual([])
    expect(
      emulator.calls().filter(({ service, mutating }) => mutating && /apig|roma|scm/.test(service)),
    ).toEqual([])

    // Everything that is granted was asked for: the lists are no longer than they must be.
    const asked = new Set(emulator.calls().flatMap(({ action }) => action ?? []))
    const notCalled =
      /^iam:agencies:pass$|^lts:|BucketNotification$|^functiongraph:trigger:update$|:updateRole$|revokeRole/
    expect(ACTIONS.filter((action) => !asked.has(action) && !notCalled.test(action))).toEqual([])
    expect(emulator.calls().filter(({ status }) => status === 403)).toEqual([])
  })

  it('refuses before anything is changed where package, runtime, agency, bucket or config would not do', async () => {
    const refusals: string[] = []
    const { installation, session } = await account('everything')
    const service = serviceOf(installation, '', session.projectId)
    const place = { ...installation.place }
    const bucket = openBucket(place, session.key)
    const look = async (what: () => Promise<unknown>) => {
      emulator.clearCalls()
      const code = await what().then(
        () => 'nothing',
        (thrown: Failure) => thrown.code,
      )
      refusals.push(code)
      expect(changing()).toEqual([])
    }
    const flight = () => preflight(service, session, () => {}, { configInPlace: true })
    const [fn] = service.functions
    const nobody = { ...service, functions: [{ ...fn!, agency: '', executionAgency: '' }] }

    await emulator.reset(seedFor())
    await look(() => preflight(nobody, session, () => {}, { configInPlace: true }))
    await look(flight)
    await session.identity.createAgency(installation.name, 'somebody_else')
    await look(flight)
    await session.identity.deleteAgency((await session.identity.agency(installation.name))!)
    await session.identity.createAgency(installation.name, 'op_svc_cff')
    await look(flight)
    await bucket.create()
    await look(flight)
    await bucket.put('config/rotation.yaml', 'store: { bucket: 7 }')
    await look(flight)
    await bucket.put('config/rotation.yaml', installation.text)
    await look(flight)
    await look(async () =>
      commands.deploy({
        root: '/nowhere',
        service: readServiceFile('test', { projectId: session.projectId, endpoint: emulator.url }),
        options: {},
        environment: keys.everything,
        say() {},
      }),
    )
    await look(async () => {
      const file = readServiceFile('test', {})
      readService({ ...file, provider: { ...file.provider, runtime: 'Node.js18.15' } })
    })
    expect(refusals).toEqual([
      'deploy.no-agency',
      'deploy.no-agency',
      'deploy.agency-trust',
      'deploy.no-bucket',
      'deploy.no-config',
      'config.invalid',
      'nothing',
      'deploy.no-package',
      'deploy.bad-config',
    ])
    await session.close()

    // Whoever may not look is told so, and is not kept from deploying.
    await emulator.reset(seedFor(['iam:projects:*']))
    const limited = await account('limited')
    await preflight(service, limited.session, limited.parties.say, { configInPlace: true })
    expect(limited.said).toEqual([
      expect.stringMatching(/^! the agency cert-rotation-test: not looked at\..*iam:agencies:listAgencies/),
      expect.stringMatching(/^! the bucket my-certificates and its config.*obs:bucket:HeadBucket/),
    ])
    await limited.session.close()
  })
})
