import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { s3Server } from '../support/s3-server.ts'

const PROCESSES = 5
const CONTENDERS_PER_PROCESS = 10
const rounds = Number(process.env.RACE_ROUNDS ?? 3)
const program = fileURLToPath(new URL('../support/race-contender.ts', import.meta.url))
const s3 = await s3Server()

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'race-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function race(store: unknown, name: string, waitMs: number) {
  const witness = join(folder, `${name}-witness`)
  await mkdir(witness)
  const argument = JSON.stringify({ store, witness, contenders: CONTENDERS_PER_PROCESS, rounds, waitMs })
  const runners = await Promise.all(
    Array.from({ length: PROCESSES }, async () => {
      const child = spawn(process.execPath, ['--import', 'tsx', program, argument], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const exited = once(child, 'exit')
      expect((await lines.next()).value).toBe('ready')
      return { child, lines, exited }
    }),
  )
  for (const { child } of runners) child.stdin.end()
  const counts = await Promise.all(
    runners.map(async ({ lines, exited }) => {
      const line = (await lines.next()).value as string | undefined
      expect((await exited)[0]).toBe(0)
      return JSON.parse(line ?? 'null') as { held: number; refused: number; doubled: number }
    }),
  )
  expect(await readdir(witness)).toEqual([])
  const sum = (key: 'held' | 'refused' | 'doubled') => counts.reduce((total, count) => total + count[key], 0)
  return { held: sum('held'), refused: sum('refused'), doubled: sum('doubled') }
}

function judge(result: { held: number; refused: number; doubled: number }): void {
  expect(result.doubled).toBe(0)
  expect(result.held).toBeGreaterThanOrEqual(rounds)
  expect(result.held + result.refused).toBe(PROCESSES * CONTENDERS_PER_PROCESS * rounds)
}

describe(`Of ${PROCESSES * CONTENDERS_PER_PROCESS} contenders in ${PROCESSES} processes, ${rounds} rounds long,`, () => {
  test('never two hold the lease of a directory at once, and somebody gets it in every round', async () => {
    const directory = join(folder, 'store')
    await mkdir(directory)
    const result = await race({ directory }, 'directory', 1_000)
    judge(result)
    console.info('lease race on a directory:', JSON.stringify({ rounds, ...result }))
    expect(await readdir(directory)).toEqual([])
  }, 600_000)

  test.skipIf(!s3)(
    'never two hold the lease of a bucket at once, and somebody gets it in every round',
    async () => {
      const bucket = await s3!.freshBucket()
      const result = await race(
        { bucket, endpoint: s3!.endpoint, id: s3!.accessKeyId, secret: s3!.secretAccessKey },
        'bucket',
        3_000,
      )
      judge(result)
      console.info('lease race on a bucket:', JSON.stringify({ rounds, ...result }))
      expect(await s3!.store(bucket).list('')).toEqual([])
    },
    600_000,
  )
})
