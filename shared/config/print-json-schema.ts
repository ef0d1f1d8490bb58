import { configJsonSchema } from './json-schema.ts'

// node --import tsx shared/config/print-json-schema.ts > rotation.schema.json
process.stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`)
