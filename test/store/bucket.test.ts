import { describe, test } from 'vitest'
import { storeContract } from '../contract/store.contract.ts'
import { s3Server } from '../support/s3-server.ts'

const s3 = await s3Server()
if (s3) {
  const paged = { pageSize: 10, attempts: 6 }
  storeContract('A bucket', async () => s3.store(await s3.freshBucket(), paged), { objects: 45 })
  storeContract(
    'A part of a bucket',
    async () => s3.store(await s3.freshBucket(), { ...paged, prefix: 'some where+/' }),
    { objects: 45 },
  )
} else describe.skip('A bucket', () => test('needs an S3 server'))
