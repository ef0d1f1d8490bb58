import { type SpawnOptions, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { TestCloud } from '../support/cloud.ts'

let cloud: TestCloud
let config: string

beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: [] })
  config = join(cloud.folder, 'rotation.yaml')
  await writeFile(config, JSON.stringify(cloud.config()))
})
afterEach(() => cloud.close())

function start(words: string[], stdio: SpawnOptions['stdio']) {
  return spawn(process.execPath, [resolve('bin/cert-rotation.js'), ...words, '--config', config], { stdio })
}

it('a rotation goes on to its end where whoever read it has left', async () => {
  const bundle = await cloud.issue()
  await cloud.drop(bundle)
  const child = start(['rotate'], ['ignore', 'pipe', 'pipe'])
  // As `| head -0` does, long before the first line.
  child.stdout!.destroy()
  let errors = ''
  child.stderr!.on('data', (part) => {
    errors += part
  })
  const status = await new Promise((ended) => child.once('close', ended))
  expect({ status, errors }).toEqual({ status: 0, errors: '' })
  expect(cloud.bound()['api.shop.example']).toEqual([bundle.fingerprint])
})

it('a port that is taken is a sentence with the way out', async () => {
  const blocker = createServer()
  await new Promise<void>((listening) => blocker.listen(0, '127.0.0.1', listening))
  const { port } = blocker.address() as { port: number }
  try {
    const child = start(['watch', '--port', String(port)], ['ignore', 'ignore', 'pipe'])
    let errors = ''
    child.stderr!.on('data', (part) => {
      errors += part
    })
    const status = await new Promise((ended) => child.once('close', ended))
    expect(status).toBe(2)
    expect(errors).toBe(
      `cert-rotation: port ${port} of 127.0.0.1 cannot be used for the page (EADDRINUSE)\n` +
        'Give another one with --port; without it a free one is taken.\n',
    )
  } finally {
    await new Promise((closed) => blocker.close(closed))
  }
})
