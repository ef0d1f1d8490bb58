/**
 * One of several processes in the race for a lease. Asks for it again and again from several places at once; who
 * holds it also takes a witness file that only one can make (O_EXCL), and reports when that was taken already.
 * Arguments: one JSON object. Prints one JSON line.
 */
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { createBucketStore } from '../../shared/store/bucket.ts'
import { createDirectoryStore } from '../../shared/store/directory.ts'
import { acquireLease } from '../../shared/store/lease.ts'

interface Race {
  store: { directory: string } | { bucket: string; endpoint: string; id: string; secret: string }
  witness: string
  contenders: number
  rounds: number
  waitMs: number
}

const race = JSON.parse(process.argv[2] ?? '') as Race
const store =
  'directory' in race.store
    ? createDirectoryStore(race.store.directory)
    : createBucketStore({
        bucket: race.store.bucket,
        endpoint: race.store.endpoint,
        region: 'us-east-1',
        pathStyle: true,
        credentials: () => ({
          id: (race.store as { id: string }).id,
          secret: new Secret((race.store as { secret: string }).secret),
        }),
      })

const counts = { held: 0, refused: 0, doubled: 0 }

async function contend(round: number, contender: number): Promise<void> {
  const lease = await acquireLease(store, `round-${round}`, {
    clock: systemClock,
    owner: `${process.pid}/${contender}`,
    waitMs: race.waitMs,
  })
  if ('heldBy' in lease) {
    counts.refused++
    return
  }
  const file = join(race.witness, `round-${round}`)
  try {
    const handle = await open(file, 'wx')
    await systemClock.sleep(Math.random() * 20)
    await lease.renew()
    await systemClock.sleep(Math.random() * 20)
    await handle.close()
    await unlink(file)
    counts.held++
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    counts.doubled++
  } finally {
    await lease.release()
  }
}

process.stdout.write('ready\n')
// All processes start together, when the parent closes their standard input.
await new Promise((resolve) => process.stdin.once('end', resolve).resume())
for (let round = 0; round < race.rounds; round++) {
  await Promise.all(Array.from({ length: race.contenders }, (_, contender) => contend(round, contender)))
}
process.stdout.write(`${JSON.stringify(counts)}\n`)
