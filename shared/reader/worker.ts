import { parentPort } from 'node:worker_threads'
import { inProcessReader } from './in-process.ts'
import { type Answer, pack, type Question, Roots, unpackArgs } from './messages.ts'

/** The thread that reads: one question at a time, one answer each. It is given no environment and knows no store. */
const roots = new Roots()

parentPort?.on('message', async ({ method, args }: Question) => {
  let answer: Answer
  try {
    const ask = inProcessReader[method] as (...unpacked: unknown[]) => Promise<unknown>
    answer = { value: pack(await ask(...unpackArgs(args, roots))) }
  } catch (thrown) {
    const { message, stack } = thrown as Error
    answer = { failed: { message, stack } }
  }
  parentPort?.postMessage(answer)
})
parentPort?.postMessage('ready')
