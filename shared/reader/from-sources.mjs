// In a clone: a thread has no loader for TypeScript until it registers one, whatever its parent has. Not part of any package.
import { register } from 'tsx/esm/api'

register()
await import('./worker.ts')
