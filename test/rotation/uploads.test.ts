import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../shared/base/log.ts'
import { inProcessReader } from '../../shared/reader/in-process.ts'
import { misplacedIn } from '../../shared/rotation/intake/misplaced.ts'
import { uploadsIn } from '../../shared/rotation/intake/uploads.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { TestCloud } from '../support/cloud.ts'

/** What lies in incoming/ of a bucket, and what finding that out costs. */

let cloud: TestCloud
let wiring: Wiring
beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: [] })
  cloud.emulator.buckets().set('certs', new Map())
  const store = { bucket: 'certs', endpoint: cloud.emulator.url, region: 'eu-de', pathStyle: true }
  wiring = await cloud.wire({ ...cloud.config(), store })
})
afterEach(() => cloud.close())

/** Objects that nobody's `put` has to carry there one by one. */
function fill(keys: Iterable<string>): void {
  const objects = cloud.emulator.buckets().get('certs')!
  const one = {
    bytes: Buffer.from('x'),
    etag: 'e'.repeat(32),
    modifiedAt: new Date(),
    contentType: 'text/plain',
  }
  for (const key of keys) objects.set(key, one)
}
const flood = (folders: number, each: number, name = 'f') =>
  Array.from({ length: folders * each }, (_, n) => {
    const folder = String(Math.floor(n / each)).padStart(6, '0')
    return `incoming/${name}${folder}/${n % each}.pem`
  })
const requests = () => cloud.emulator.calls().filter(({ service }) => service === 'obs').length

async function look() {
  const uploads = await uploadsIn(wiring.store, wiring.names)
  const parties = wiring.parties({ deadline: noDeadline() })
  const misplaced = await misplacedIn(uploads, wiring.config.certificates, {
    ...parties,
    reader: inProcessReader,
    log: silentLog,
  })
  return { uploads, said: misplaced.map(({ failure }) => failure.message) }
}

describe('a flood below incoming/', () => {
  it('of 200,000 objects in 10,000 folders of no certificate costs a few requests and a few lines', async () => {
    fill([...flood(10_000, 20), 'incoming/shop/all.pem'])
    const { uploads, said } = await look()
    expect(uploads.names).toEqual(['shop'])
    expect(requests()).toBeLessThanOrEqual(25)
    expect(said).toHaveLength(11)
    expect(said[0]).toBe('incoming/ has a folder f000000, but rotation.yaml has no certificate of that name')
    expect(said.at(-1)).toBe("incoming/ has 9,990 more folders that are no certificate's in rotation.yaml")
  }, 60_000)

  it('of 200,000 objects in one folder costs two', async () => {
    fill(flood(1, 200_000))
    const { said } = await look()
    expect(requests()).toBe(2)
    expect(said).toHaveLength(1)
  }, 60_000)

  it('hides no upload, wherever it stands in the order, and no number is made up', async () => {
    fill([...flood(20_001, 1), 'incoming/shop/all.pem'])
    const { uploads, said } = await look()
    expect(uploads.names).toEqual(['shop'])
    expect(said.at(-1)).toMatch(/has at least 19,990 more folders/)
    expect(requests()).toBeLessThanOrEqual(35)
  }, 60_000)
})

it("an empty folder, as a console makes it, is nobody's upload and nobody's stranger", async () => {
  fill(['incoming/', 'incoming/old/', 'incoming/new/', 'incoming/new/cert.pem'])
  const { uploads, said } = await look()
  expect(uploads).toMatchObject({ names: [], outside: [] })
  expect(said).toEqual(['incoming/ has a folder new, but rotation.yaml has no certificate of that name'])
})
