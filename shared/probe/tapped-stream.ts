import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** A TCP connection that TLS runs over while somebody reads along. */
export class TappedStream extends Duplex {
  readonly #socket: Socket
  readonly #onSent: (chunk: Buffer) => void

  constructor(socket: Socket, onReceived: (chunk: Buffer) => void, onSent: (chunk: Buffer) => void) {
    super()
    this.#socket = socket
    this.#onSent = onSent
    socket.on('data', (chunk: Buffer) => {
      onReceived(chunk)
      if (!this.push(chunk)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#onSent(chunk)
    this.#socket.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
