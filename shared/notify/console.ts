import type { Channel } from './port.ts'
import { digestText } from './text.ts'

/** For a terminal, and for whoever reads the function's log. `write` gets whole lines. */
export function createConsoleChannel(write: (text: string) => void): Channel {
  return {
    name: 'console',
    send(digest) {
      write(`${digestText(digest, 200_000)}\n`)
      return Promise.resolve(undefined)
    },
  }
}
