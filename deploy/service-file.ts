import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { ServiceInput } from './desired.ts'

/** Where serverless.yml and the packages lie: the clone, or the installed package. */
export const home: URL = new URL(import.meta.url.includes('/dist/deploy/') ? '../..' : '..', import.meta.url)

/**
 * serverless.yml as osls would hand it over, for `setup`, which needs no osls: both ways deploy the same functions.
 * Its variables are `${param:…}` and `${sls:stage}`; values of `${env:…}` are secrets, which the config names itself.
 */
export function readServiceFile(stage: string, params: Readonly<Record<string, string>>): ServiceInput {
  const file = parse(readFileSync(new URL('serverless.yml', home), 'utf8')) as {
    service: string
    params: { default: Record<string, string> }
    provider: Record<string, unknown>
    functions: Record<string, Record<string, unknown>>
  }
  const values: Record<string, string> = { ...file.params.default, ...params }
  const filled = (node: unknown): unknown => {
    if (typeof node === 'string')
      return node.replace(/\$\{(?:param:(\w+)|(sls:stage)|env:[^}]*)\}/g, (_, param, ofStage) =>
        param ? (values[param] ?? '') : ofStage ? stage : '',
      )
    if (Array.isArray(node)) return node.map(filled)
    if (node !== null && typeof node === 'object')
      return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, filled(value)]))
    return node
  }
  const { service, provider, functions } = filled(file) as typeof file
  return { service, stage, provider, functions }
}
