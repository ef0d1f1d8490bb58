import { isRecord, isStrings, isTexts } from '../base/shape.ts'

/**
 * Whether what lies in `renew/<name>.json` could have been written here. Where a challenge is (and what is removed
 * there) is checked by its solver, which knows its own places.
 */
export function isRenewState(value: unknown): boolean {
  if (!isRecord(value) || value.schema !== 1) return false
  const { orders, waits, leftovers, issued, schedule } = value
  return (
    isRecord(orders) &&
    Object.values(orders).every(isOrder) &&
    isRecord(waits) &&
    Object.values(waits).every((wait) => isTexts(wait, 'since', 'notBefore', 'request')) &&
    Array.isArray(leftovers) &&
    leftovers.every((one) => isTexts(one, 'solver') && isPlacement(one.placement)) &&
    (schedule === undefined || isTexts(schedule, 'fingerprint', 'renewAt', 'reason')) &&
    (issued === undefined ||
      (isTexts(issued, 'directory', 'fingerprint', 'notBefore', 'notAfter', 'leaf') &&
        isStrings(issued.names)))
  )
}

function isOrder(value: unknown): boolean {
  if (!isTexts(value, 'directory', 'status', 'startedAt')) return false
  const { names, account, key, challenges, url, certificate } = value
  return (
    isStrings(names) &&
    isTexts(account, 'url') &&
    isRecord(key) &&
    isRecord(challenges) &&
    Object.values(challenges).every(
      (one) => isTexts(one, 'identifier', 'solver') && isPlacement(one.placement),
    ) &&
    (url === undefined || typeof url === 'string') &&
    (certificate === undefined || typeof certificate === 'string')
  )
}

function isPlacement(value: unknown): boolean {
  return isRecord(value) && Object.values(value).every((one) => typeof one === 'string')
}
