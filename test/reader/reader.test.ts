import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { Secret } from '../../shared/base/secret.ts'
import { publicRoots, rootsFromPem } from '../../shared/certificate/trust.ts'
import { inProcessReader } from '../../shared/reader/in-process.ts'
import { createWorkerReader } from '../../shared/reader/in-worker.ts'
import type { BundleReader } from '../../shared/reader/port.ts'
import { startThread } from '../../shared/reader/thread.ts'
import { makeCorpus } from '../certificate/corpus.ts'
import { object } from '../certificate/tools.ts'

const { root, ec, rsa } = await makeCorpus()
const at = new Date()
const trust = { kind: 'private' as const, roots: rootsFromPem(root.certificatePem) }
const options = { passwords: [new Secret('secret')], judgedBy: { trust, at } }
const pair = object('all.pem', ec.fullchainPem + ec.privateKeyPem)

const open: BundleReader[] = []
afterEach(() => Promise.all(open.splice(0).map((reader) => reader.close())))

/** A reader whose threads are counted. */
function reader(more: Parameters<typeof createWorkerReader>[0] = {}) {
  const started: Worker[] = []
  const warnings: string[] = []
  const log = { warn: (message: string) => void warnings.push(message) } as never
  const begin = more.start ?? startThread
  const made = createWorkerReader({
    ...more,
    log,
    start: (limits) => {
      const worker = begin(limits)
      started.push(worker)
      return worker
    },
  })
  open.push(made)
  return { reader: made, started, warnings }
}

describe('the reader in a thread', () => {
  it('answers as the one in process does, and wraps the key at once', async () => {
    const { reader: threaded, started } = reader()
    expect(started).toHaveLength(0)
    const here = await inProcessReader.read([pair], options)
    const there = await threaded.read([pair], options)
    if (here.kind !== 'complete' || there.kind !== 'complete') throw new Error('not read')
    const { privateKey, ...bundle } = there.bundle
    expect(privateKey).toBeInstanceOf(Secret)
    expect(privateKey?.reveal()).toBe(here.bundle.privateKey?.reveal())
    expect(JSON.stringify(there)).not.toContain('PRIVATE KEY')
    expect(bundle.digest).toBe(here.bundle.digest)
    expect(bundle.leaf.notAfter).toEqual(here.bundle.leaf.notAfter)
    const judging = { at, domains: ['shop.example', 'other.example'], trust }
    expect(await threaded.judge(there.bundle, judging)).toEqual(
      await inProcessReader.judge(here.bundle, judging),
    )
    expect(await threaded.contents([pair, object('b.key', rsa.privateKeyPem)], options)).toEqual(
      await inProcessReader.contents([pair, object('b.key', rsa.privateKeyPem)], options),
    )
    const inspecting = { ...judging, trust: { kind: 'public' as const, roots: publicRoots() } }
    expect(await threaded.inspect([pair], inspecting)).toEqual(
      await inProcessReader.inspect([pair], inspecting),
    )
    for (const objects of [[object('a.key', ec.privateKeyPem)], [object('a.pem', 'nothing')]])
      expect(await threaded.read(objects, options)).toEqual(await inProcessReader.read(objects, options))
    expect(started).toHaveLength(1)
  })

  it('answers questions that come at once, each with its own answer', async () => {
    const { reader: threaded, started } = reader()
    const readings = await Promise.all([
      threaded.read([pair], options),
      threaded.read([object('a.key', ec.privateKeyPem)], options),
      threaded.read([object('r.pem', rsa.fullchainPem + rsa.privateKeyPem)], options),
    ])
    expect(
      readings.map((reading) => (reading.kind === 'complete' ? reading.bundle.leaf.algorithm : reading.kind)),
    ).toEqual(['ECC', 'waiting', 'RSA'])
    expect(started).toHaveLength(1)
  })
})

/** A thread that is ready and then does this with every question. */
const thread = (onQuestion: string) => (limits: Parameters<typeof startThread>[0]) =>
  new Worker(
    `const { parentPort } = require('node:worker_threads')
    parentPort.on('message', (question) => { ${onQuestion} })
    parentPort.postMessage('ready')`,
    { ...limits, eval: true },
  )

describe('what overruns', () => {
  it('time is asked once more in a fresh thread, then refused and told', async () => {
    const {
      reader: threaded,
      started,
      warnings,
    } = reader({
      limits: { milliseconds: 50 },
      start: thread('for (;;) {}'),
    })
    const reading = await threaded.read([pair], options)
    expect(reading).toMatchObject({
      kind: 'unreadable',
      problems: [{ code: 'overran', result: 'refused', facts: { overran: 'time' } }],
    })
    expect(started).toHaveLength(2)
    expect(warnings).toEqual([
      'reading took too much time, once more in a fresh thread',
      'reading took too much time again',
    ])
  })

  it('memory too, and every kind of question has its refusal', async () => {
    const { reader: threaded, started } = reader({
      limits: { memory: 16 },
      start: thread('const all = []; for (;;) all.push(Array(1000).fill({}))'),
    })
    const bundle = await inProcessReader.read([pair], options)
    if (bundle.kind !== 'complete') throw new Error('not read')
    const judging = { at, domains: [], trust }
    const refused = [{ code: 'overran', result: 'refused', facts: { overran: 'memory' } }]
    expect(await threaded.judge(bundle.bundle, judging)).toMatchObject({
      decision: 'refuse',
      checks: refused,
    })
    expect(await threaded.inspect([pair], judging)).toMatchObject({
      reading: 'unreadable',
      files: [{ name: 'all.pem', format: 'unknown' }],
      checks: refused,
      verdict: { decision: 'refuse', refusedBy: ['overran'] },
    })
    expect(await threaded.contents([pair], options)).toEqual([])
    expect(started).toHaveLength(6)
  })

  it('only once is no refusal: the machine may have been busy', async () => {
    let first = true
    const { reader: threaded } = reader({
      limits: { milliseconds: 20_000, memory: 16 },
      start: (limits) => {
        const begin = first ? thread('const all = []; for (;;) all.push(Array(1000).fill({}))') : startThread
        first = false
        return begin(
          limits.resourceLimits
            ? { resourceLimits: { maxOldGenerationSizeMb: begin === startThread ? 192 : 16 } }
            : {},
        )
      },
    })
    expect((await threaded.read([pair], options)).kind).toBe('complete')
  })

  it('does not hold up the question after it', async () => {
    const { reader: threaded } = reader({
      limits: { milliseconds: 500 },
      start: thread(
        'if (question.args[0].length === 2) for (;;); else parentPort.postMessage({ value: { kind: "waiting", missing: "certificate", found: [] } })',
      ),
    })
    const [bomb, plain] = await Promise.all([
      threaded.read([pair, pair], options),
      threaded.read([pair], options),
    ])
    expect(bomb.kind).toBe('unreadable')
    expect(plain.kind).toBe('waiting')
  })
})

describe('a thread that fails', () => {
  it('with an error of ours is an error of ours, and the next question has a thread', async () => {
    const { reader: threaded } = reader({ start: thread('throw new Error("a defect")') })
    await expect(threaded.read([pair], options)).rejects.toThrow('a defect')
    await expect(threaded.read([pair], options)).rejects.toThrow('a defect')
  })

  it('to start leaves the reading to this process, which is said once', async () => {
    const { reader: threaded, warnings } = reader({
      start: () => {
        throw new Error('ERR_WORKER_INIT_FAILED: EAGAIN')
      },
    })
    const reading = await threaded.read([pair], options)
    expect(reading.kind === 'complete' && reading.bundle.privateKey).toBeInstanceOf(Secret)
    expect((await threaded.read([pair], options)).kind).toBe('complete')
    expect(warnings).toEqual([
      'the reader has no thread of its own here; uploads are read without its limits',
    ])
  })
})
