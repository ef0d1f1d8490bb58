import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { configJsonSchema } from '../../shared/config/json-schema.ts'

test('rotation.schema.json is what the configuration schema says now', async () => {
  const file = await readFile(new URL('../../rotation.schema.json', import.meta.url), 'utf8')
  expect(
    JSON.parse(file),
    'run: node --import tsx shared/config/print-json-schema.ts > rotation.schema.json',
  ).toEqual(configJsonSchema())
})
