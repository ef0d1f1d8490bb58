import { z } from 'zod'
import { configSchema } from './schema.ts'

/**
 * JSON Schema (draft 2020-12) of rotation.yaml, for completion and checks in editors. It describes what people
 * write, before defaults. `${NAME}` is allowed wherever text is.
 */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      // A reference to the environment is no address and matches no pattern until it has its value.
      if (jsonSchema.type !== 'string' || (!jsonSchema.format && !jsonSchema.pattern)) return
      const { description, default: preset, ...form } = jsonSchema
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key]
      Object.assign(jsonSchema, {
        ...(description === undefined ? {} : { description }),
        ...(preset === undefined ? {} : { default: preset }),
        anyOf: [form, { type: 'string', pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}' }],
      })
    },
  })
  return { ...schema, title: 'rotation.yaml', description: 'Configuration of cert-rotation' }
}
