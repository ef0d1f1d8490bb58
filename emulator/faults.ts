import { z } from 'zod'
import { globMatches } from './identity.ts'

const misbehaviour = z
  .strictObject({
    /** Answer with this status instead. */
    status: z.number().int().min(200).max(599).optional(),
    errorCode: z.string().optional(),
    message: z.string().optional(),
    /** JSON body instead of `{ error_code, error_msg }`. */
    body: z.unknown().optional(),
    headers: z.record(z.string(), z.string()).optional(),
    /** Raw text instead of JSON. */
    reply: z.string().optional(),
    /** Wait this long, then go on. */
    delayMs: z.number().int().min(0).optional(),
    /** Break the connection: before the effect, after it, or in the middle of the reply. */
    lose: z.enum(['request', 'reply', 'half-reply']).optional(),
    /** Whether the call takes effect before `status` is answered; a raw `reply` by default does. */
    effect: z.enum(['none', 'done']).optional(),
  })
  .refine(
    (it) =>
      it.status !== undefined || it.reply !== undefined || it.delayMs !== undefined || it.lose !== undefined,
    {
      message: 'needs one of status, reply, delayMs, lose',
    },
  )
  .refine((it) => it.lose === undefined || (it.status === undefined && it.reply === undefined), {
    message: 'lose excludes status and reply',
  })

/** One misbehaviour on request, as `POST /__emulator/faults` takes it. */
export const faultSchema = z
  .strictObject({
    /** Route name, `*` as wildcard: `apig.attachCertificate`, `scm.*`. */
    route: z.string().min(1),
    /** Only calls whose path matches, `*` as wildcard. */
    path: z.string().optional(),
    /** Only this call, counted from 1 since the fault was added. */
    nth: z.number().int().min(1).optional(),
    /** From this call on. */
    from: z.number().int().min(1).optional(),
    /** At most so many calls. */
    times: z.number().int().min(1).optional(),
    fault: misbehaviour,
  })
  .refine((it) => it.nth === undefined || (it.from === undefined && it.times === undefined), {
    message: 'nth excludes from and times',
  })

export type FaultRequest = z.input<typeof faultSchema>
export type Misbehaviour = z.output<typeof misbehaviour>

export interface Fault extends z.output<typeof faultSchema> {
  id: number
  /** Calls that matched so far. */
  seen: number
  /** Calls that were made to fail so far. */
  fired: number
}

/** The faults in force, in the order in which they were added; the first that fires wins. */
export class Faults {
  #next = 1
  #faults: Fault[] = []

  /** Throws a ZodError where the request is not a fault. */
  add(request: FaultRequest): Fault {
    const fault: Fault = { ...faultSchema.parse(request), id: this.#next++, seen: 0, fired: 0 }
    this.#faults.push(fault)
    return fault
  }

  list(): Fault[] {
    return this.#faults.map((fault) => ({ ...fault }))
  }

  /** All of them, or one; false where there is none of that id. */
  clear(id?: number): boolean {
    const before = this.#faults.length
    this.#faults = id === undefined ? [] : this.#faults.filter((fault) => fault.id !== id)
    return id === undefined || this.#faults.length < before
  }

  /** Counts the call and says how it is to misbehave. */
  take(route: string, path: string): Misbehaviour | undefined {
    let chosen: Misbehaviour | undefined
    for (const fault of this.#faults) {
      if (!globMatches(fault.route, route)) continue
      if (fault.path !== undefined && !globMatches(fault.path, path)) continue
      fault.seen += 1
      if (chosen === undefined && fires(fault)) {
        fault.fired += 1
        chosen = fault.fault
      }
    }
    return chosen
  }
}

function fires(fault: Fault): boolean {
  if (fault.nth !== undefined) return fault.seen === fault.nth
  if (fault.seen < (fault.from ?? 1)) return false
  return fault.times === undefined || fault.fired < fault.times
}
