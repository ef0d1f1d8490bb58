/**
 * `npm run faults`: everything that `npm test` only samples, exhaustively, with real counts as a markdown table.
 * FAULTS_STEP=n tries every n-th combination, REFUSALS_STEP=n every n-th refusal for good; HISTORIES=n sets the length of the property test; RACE_ROUNDS the race.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CrashMatrix, type Habit, type Obstacle } from '../test/support/crash-matrix.ts'
import { FAULTS, FaultMatrix, STRATEGIES } from '../test/support/fault-matrix.ts'
import { ACTS, FLAVOURS, RefusalMatrix } from '../test/support/refusal-matrix.ts'

const STEP = Number(process.env.FAULTS_STEP ?? 1)
const REFUSALS_STEP = Number(process.env.REFUSALS_STEP ?? STEP)
const ROUNDS = Number(process.env.RACE_ROUNDS ?? 200)
const PROCESSES = 5
const CONTENDERS = 12
const HISTORIES = Number(process.env.HISTORIES ?? 1000)

interface Row {
  what: string
  strategy: string
  places: number
  tried: number
  converged: number
  duplicates: number
  bare: number
}

const problems: string[] = []

async function crashes(strategy: string, obstacle: Obstacle, habit: Habit): Promise<Row> {
  const matrix = await CrashMatrix.start(strategy, obstacle, habit)
  const at = habit === 'refuse' ? '' : `, where gateways ${habit}`
  const what = `${obstacle === 'nothing' ? 'killed' : `killed, while ${obstacle}`}${at}`
  try {
    const { boundaries } = await matrix.count()
    const row: Row = {
      what,
      strategy,
      places: boundaries.length,
      tried: 0,
      converged: 0,
      duplicates: 0,
      bare: 0,
    }
    for (let at = 1; at <= boundaries.length; at += STEP) {
      const verdict = await matrix.dieAt(at)
      row.tried++
      if (verdict.problems.length === 0) row.converged++
      else problems.push(`${verdict.where}: ${verdict.problems.join('; ')}`)
      if (verdict.problems.some((one) => /certificates of the bundle|imported|pushed/.test(one)))
        row.duplicates++
      if (verdict.problems.some((one) => one.includes('[]'))) row.bare++
    }
    return row
  } finally {
    await matrix.close()
  }
}

async function faults(strategy: string): Promise<Row[]> {
  const matrix = await FaultMatrix.start(strategy)
  try {
    const calls = await matrix.mutatingCalls()
    const rows: Row[] = []
    for (const fault of Object.keys(FAULTS)) {
      const row: Row = {
        what: fault,
        strategy,
        places: calls.length,
        tried: 0,
        converged: 0,
        duplicates: 0,
        bare: 0,
      }
      for (let n = 0; n < calls.length; n += STEP) {
        const verdict = await matrix.strike(calls[n]!, fault)
        row.tried++
        if (verdict.problems.length === 0) row.converged++
        else problems.push(`${verdict.where}: ${verdict.problems.join('; ')}`)
        if (verdict.duplicates > 0) row.duplicates++
        row.bare += verdict.bare
      }
      rows.push(row)
    }
    return rows
  } finally {
    await matrix.close()
  }
}

/** One kind of call refused at one gateway for good, with every documented status. */
async function refusals(strategy: string): Promise<Row[]> {
  const matrix = await RefusalMatrix.start(strategy)
  try {
    const rows: Row[] = []
    for (const act of Object.keys(ACTS))
      for (const flavour of FLAVOURS) {
        const cases = RefusalMatrix.all().filter((one) => one.act === act && one.flavour === flavour)
        const row: Row = {
          what: `${flavour}: ${act} refused for good`,
          strategy,
          places: cases.length,
          tried: 0,
          converged: 0,
          duplicates: 0,
          bare: 0,
        }
        for (let n = 0; n < cases.length; n += REFUSALS_STEP) {
          const verdict = await matrix.refuse(cases[n]!)
          row.tried++
          if (verdict.problems.length === 0) row.converged++
          else problems.push(`${verdict.where}: ${verdict.problems.join('; ')}`)
          if (verdict.problems.some((problem) => problem.includes('copies'))) row.duplicates++
          row.bare += verdict.bare
        }
        rows.push(row)
      }
    return rows
  } finally {
    await matrix.close()
  }
}

/** Contenders in several processes; whoever holds the lease also makes a file that only one can make. */
async function race(): Promise<{ held: number; refused: number; doubled: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'cert-rotation-race-'))
  await mkdir(join(folder, 'store'))
  await mkdir(join(folder, 'witness'))
  const argument = JSON.stringify({
    store: { directory: join(folder, 'store') },
    witness: join(folder, 'witness'),
    contenders: CONTENDERS,
    rounds: ROUNDS,
    waitMs: 1000,
  })
  const script = fileURLToPath(new URL('../test/support/race-contender.ts', import.meta.url))
  try {
    const children = Array.from({ length: PROCESSES }, () =>
      spawn(process.execPath, ['--import', 'tsx', script, argument], { stdio: ['pipe', 'pipe', 'inherit'] }),
    )
    const ends = children.map(async (child) => {
      let text = ''
      let ready = () => {}
      const isReady = new Promise<void>((resolve) => {
        ready = resolve
      })
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk
        if (text.startsWith('ready\n')) ready()
      })
      const ended = new Promise<string>((resolve) => child.on('close', () => resolve(text)))
      await isReady
      return { ended }
    })
    const ready = await Promise.all(ends)
    for (const child of children) child.stdin.end()
    const total = { held: 0, refused: 0, doubled: 0 }
    for (const { ended } of ready) {
      const counts = JSON.parse((await ended).trim().split('\n').at(-1)!) as typeof total
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key]
    }
    return total
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function histories(): Promise<boolean> {
  const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
  const child = spawn(process.execPath, [vitest, 'run', 'test/scenario/property.test.ts'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, HISTORIES: String(HISTORIES) },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return new Promise((resolve) => child.on('close', (status) => resolve(status === 0)))
}

function print(rows: Row[]): void {
  process.stdout.write('| fault | strategy | places | tried | converged | duplicates | left bare |\n')
  process.stdout.write('|---|---|---:|---:|---:|---:|---:|\n')
  for (const { what, strategy, places, tried, converged, duplicates, bare } of rows)
    process.stdout.write(
      `| ${what} | ${strategy} | ${places} | ${tried} | ${converged} | ${duplicates} | ${bare} |\n`,
    )
  const sum = (field: 'tried' | 'converged' | 'duplicates' | 'bare') =>
    rows.reduce((total, row) => total + row[field], 0)
  process.stdout.write(
    `| **all** | | | ${sum('tried')} | ${sum('converged')} | ${sum('duplicates')} | ${sum('bare')} |\n\n`,
  )
}

const rows: Row[] = []
const obstacles: Obstacle[] = ['nothing', 'the canary is refused', 'the canary never serves it']
for (const obstacle of obstacles)
  for (const strategy of Object.keys(STRATEGIES)) {
    // Nothing of an in-place update whose predecessor is not ours can be put back.
    if (strategy === 'update' && obstacle === 'the canary never serves it') continue
    const tries = strategy === 'rebind' || strategy === 'add'
    const habits: Habit[] =
      tries && obstacle !== 'the canary is refused' ? ['refuse', 'replace', 'keep-both'] : ['refuse']
    for (const habit of habits) {
      process.stderr.write(`killed at every boundary: ${obstacle}, ${strategy}, gateways ${habit}\n`)
      rows.push(await crashes(strategy, obstacle, habit))
    }
  }
for (const strategy of Object.keys(STRATEGIES)) {
  process.stderr.write(`every call gone wrong: ${strategy}\n`)
  rows.push(...(await faults(strategy)))
}
for (const strategy of Object.keys(STRATEGIES)) {
  process.stderr.write(`every refusal for good: ${strategy}\n`)
  rows.push(...(await refusals(strategy)))
}
print(rows)
process.stderr.write('race for the lease\n')
const counts = await race()
process.stdout.write(
  `Race for the lease: ${ROUNDS} rounds of ${PROCESSES} processes with ${CONTENDERS} contenders each; held ${counts.held} times, refused ${counts.refused} times, two holders at once ${counts.doubled} times.\n`,
)
if (HISTORIES > 0) {
  process.stderr.write(`${HISTORIES} random histories\n`)
  const held = await histories()
  process.stdout.write(
    `Random histories: ${HISTORIES}, ${held ? 'every one as the model says' : 'at least one broke the model'}.\n`,
  )
  if (!held) process.exitCode = 1
}
for (const problem of problems) process.stdout.write(`\n- ${problem}\n`)
if (problems.length > 0 || counts.doubled > 0) process.exitCode = 1
