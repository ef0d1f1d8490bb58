import { afterEach, beforeEach, expect, it } from 'vitest'
import { noticePlain } from '../../shared/notify/text.ts'
import { gather } from '../../shared/runtime/gather.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { emptyRunMemory, type RunMemory } from '../../shared/watch/alert-memory.ts'
import { watch } from '../../shared/watch/watch.ts'
import { TestCloud } from '../support/cloud.ts'

let cloud: TestCloud
let memory: RunMemory
beforeEach(async () => {
  memory = emptyRunMemory()
  cloud = await TestCloud.start({ apig: ['a.shop.example', 'b.shop.example'], roma: [] })
  await cloud.drop(await cloud.issue())
  const wiring = await cloud.wire()
  expect((await tick(wiring, cloud.parties(wiring))).outcomes[0]?.status).toBe('rotated')
})
afterEach(() => cloud.close())

const under = (name: string, domains: string[]) => {
  const [gateway] = cloud.config().certificates.shop.gateways
  return { [name]: { gateways: [{ ...gateway, domains }] } }
}
/** What one tick tells of this, with the memory of those before it. */
const told = async (certificates?: Record<string, unknown>) => {
  const wiring = await cloud.wire(cloud.config({}, {}, certificates ? { certificates } : {}))
  const { notices, runMemory } = watch(await gather(wiring, cloud.parties(wiring)), memory)
  memory = runMemory
  return notices.filter((one) => one.kind === 'no longer watched' || one.key === 'left/shop')
}

it('a certificate that left the config is told once, with what nobody watches and which keys stay', async () => {
  expect(await told()).toEqual([])
  const [notice, ...more] = await told(under('other', ['b.shop.example']))
  expect(more).toEqual([])
  expect(notice).toMatchObject({
    severity: 'warning',
    certificate: 'shop',
    unwatched: ['a.shop.example'],
    stays: ['state/shop.json', 'deployed/shop/'],
  })
  const text = noticePlain(notice!)
  expect(text).toContain('shop has left rotation.yaml: nobody watches a.shop.example')
  expect(text).toContain('with its private keys')
  expect(await told(under('other', ['b.shop.example']))).toEqual([])
  expect(await told()).toMatchObject([{ kind: 'solved', of: 'no longer watched' }])
})

it('one that was renamed is told of as that', async () => {
  expect(await told(under('store', ['a.shop.example', 'b.shop.example']))).toMatchObject([
    { severity: 'info', unwatched: [], stays: ['state/shop.json', 'deployed/shop/'] },
  ])
})

it('where nobody could look, nothing is told, and nothing is solved', async () => {
  await told(under('other', ['b.shop.example']))
  const wiring = await cloud.wire()
  const parties = cloud.parties(wiring)
  const store = new Proxy(parties.store, {
    get: (target, property) =>
      property === 'children'
        ? () => Promise.reject(new Error('no'))
        : (Reflect.get(target, property) as () => void).bind?.(target),
  })
  const { notices } = watch(await gather(wiring, { ...parties, store }), memory)
  expect(notices.filter(({ key }) => key === 'left/shop')).toEqual([])
})
