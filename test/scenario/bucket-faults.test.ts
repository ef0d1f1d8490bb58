import { expect, it } from 'vitest'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { TestCloud } from '../support/cloud.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import { s3Server } from '../support/s3-server.ts'
import { StoreFaultMatrix } from '../support/store-fault-matrix.ts'

/** Every n-th fault only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.STORE_FAULT_STEP ?? 53)
const FROM = Number(process.env.STORE_FAULT_FROM ?? 0)

const s3 = await s3Server()

/**
 * At every request of a rotation from a bucket, every false answer that is possible there: once, and for the rest of
 * the run. When it is over and the timer has come again, every domain serves the new certificate, the gateway got one,
 * the bundle lies whole in `deployed/` and nothing anywhere else.
 */
it.skipIf(!s3)(
  'a rotation from a bucket converges whatever is answered falsely, at whichever request',
  {
    timeout: 3_600_000,
  },
  async () => {
    const matrix = await StoreFaultMatrix.start(s3!)
    try {
      const faults = await matrix.faults()
      const failed: string[] = []
      let tried = 0
      for (let at = FROM; at < faults.length; at += STEP) {
        tried++
        const fault = faults[at]!
        const problems = await matrix.meet(fault)
        if (problems.length === 0) continue
        const { request, kind, lasting } = fault
        failed.push(`#${at} request ${request}, ${kind}${lasting ? ', lasting' : ''}: ${problems.join('; ')}`)
      }
      console.info(
        `${tried} of ${faults.length} false answers of the store: ${tried - failed.length} converge`,
      )
      expect(failed).toEqual([])
    } finally {
      await matrix.close()
    }
  },
)

it.skipIf(!s3)(
  'where deleting below state/ is denied the rotation is done, and what to allow is told',
  async () => {
    const proxy = await faultProxy(s3!.endpoint)
    const cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: [] })
    try {
      proxy.plan((_, { method, url }) =>
        method === 'DELETE' && url?.includes('/state/')
          ? { status: 403, body: '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>' }
          : 'none',
      )
      const bucket = await s3!.freshBucket()
      const accessKey = { id: s3!.accessKeyId, secret: s3!.secretAccessKey }
      const store = { bucket, endpoint: proxy.endpoint, region: 'us-east-1', pathStyle: true, accessKey }
      const wiring = await cloud.wire({ ...cloud.config(), store })
      const { fullchainPem, privateKeyPem } = await cloud.issue()
      await wiring.store.put('incoming/shop/both.pem', fullchainPem + privateKeyPem)
      const report = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
      expect(report.outcomes).toMatchObject([
        { status: 'rotated' },
        {
          status: 'failed',
          sentence: expect.stringMatching(/claims .*AccessDenied/),
          failures: [{ code: 'lease.cannot-delete', next: expect.stringContaining('below state/') }],
        },
      ])
      expect(exitStatus(report)).toBe(1)
    } finally {
      await cloud.close()
      await proxy.close()
    }
  },
)
