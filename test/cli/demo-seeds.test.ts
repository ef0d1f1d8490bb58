import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

function demo(seed: string): Promise<{ status: number | null; text: string }> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', 'functions/cli.ts', 'demo', '--seed', `emulator/seeds/${seed}.json`],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk
  })
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, text })))
}

describe('the demo on a seed of one’s own', { timeout: 120_000 }, () => {
  it('in which attach is forbidden leaves everything as it is and names the permission', async () => {
    const { status, text } = await demo('attach-forbidden')
    expect(text).toContain('Allow the IAM action apig:domains:bindCertificate')
    expect(text).not.toMatch(/\d+ ms\s*$/m)
    expect(status).toBe(1)
  })

  it('with an expired certificate that cannot be attached replaces it', async () => {
    const { status, text } = await demo('expired-certificate')
    expect(text).toContain('there is no way back: cert_old cannot be attached again')
    expect(text).toContain('3 of 3 domains serve the new certificate')
    expect(status).toBe(0)
  })
})
