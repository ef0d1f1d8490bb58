import { main } from './main.ts'

// Whoever reads us may leave (`| head`): a rotation that is under way goes on all the same, to its end and its exit
// status. Any other trouble with a stream is not ours to hide.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

process.exitCode = await main(process.argv.slice(2))
