import type { StatusModel } from './model.ts'

/** `status/status.json`: the model as it is, one document; see `model.ts` for the contract. */
export function renderJson(model: StatusModel): string {
  return `${JSON.stringify(model, null, 2)}\n`
}
