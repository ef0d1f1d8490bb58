import { type Clock, minute, second } from '../../shared/base/clock.ts'
import type { ProgressEvent } from '../../shared/rotation/progress.ts'
import { wrap } from '../../shared/status/table.ts'
import { painter } from './render.ts'

export interface ProgressOptions {
  write(text: string): void
  clock: Pick<Clock, 'monotonic'>
  color: boolean
  /** Of the terminal as it is now; undefined where it is none, and lines stay as they were written. */
  columns(): number | undefined
  /** Before each line. */
  indent?: string
}

/** So many domains are told one by one; of more there is one line for all. */
const EACH = 10
/** A line that is rewritten more often only flickers; in a pipe each one stays. */
const REWRITE_MS = 100
const LINE_MS = second
/** What is left is judged by the pace of this time, once so many domains have shown it. */
const PACE_MS = 5 * second
const PACE_DOMAINS = 5

type Stage = Extract<ProgressEvent, { kind: 'stage' }>['stage']

interface Many {
  stage: Stage
  total: number
  ended: number
  inFlight: number
}

/** What a rotation says while it runs: each step of a few domains, of many one live line, and problems as they come. */
export class Progress {
  readonly #options: ProgressOptions
  readonly #many = new Map<string, Many>()
  #worstGapMs: number | undefined
  #pace: { at: number; ended: number }[] = []
  #saidAt = Number.NEGATIVE_INFINITY
  /** The live line stands on the terminal, without its line break. */
  #stands = false

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  show(event: ProgressEvent): void {
    const { certificate } = event
    if (event.kind === 'stage') {
      if (event.total <= EACH) this.#many.delete(certificate)
      else this.#many.set(certificate, { stage: event.stage, total: event.total, ended: 0, inFlight: 0 })
      this.#pace = []
      this.#draw(true)
    } else if (event.kind === 'turn') this.#count(event)
    else if (!this.#isCounted(event)) this.#print(this.#line(event))
  }

  /** Before a report: the live line goes, or in a pipe says last where it got to. */
  end(): void {
    this.#draw(true)
    this.#erase()
    this.#many.clear()
    this.#worstGapMs = undefined
  }

  /** For whatever else writes to the same terminal: it comes above the line. */
  above<Written extends unknown[]>(write: (...written: Written) => void): (...written: Written) => void {
    return (...written) => {
      this.#erase()
      write(...written)
      this.#draw()
    }
  }

  #count({ certificate, at, domains, gapMs }: Extract<ProgressEvent, { kind: 'turn' }>): void {
    const many = this.#many.get(certificate)
    if (!many) return
    many.inFlight += at === 'begun' ? domains : -domains
    if (at === 'ended') {
      many.ended += domains
      this.#pace.push({ at: this.#options.clock.monotonic(), ended: this.#sum('ended') })
    }
    if (gapMs !== undefined) this.#worstGapMs = Math.max(this.#worstGapMs ?? 0, gapMs)
    this.#draw()
  }

  /** The line has it already. What ends otherwise than expected is said all the same. */
  #isCounted(event: ProgressEvent): boolean {
    if (event.kind !== 'step' || !this.#many.has(event.certificate)) return false
    const { step, durationMs } = event
    return ['bind', 'add', 'verify'].includes(step) || (step === 'rehearse' && durationMs !== undefined)
  }

  #line(event: Exclude<ProgressEvent, { kind: 'stage' | 'turn' }>): string {
    const paint = painter(this.#options.color)
    if (event.kind === 'bundle') return `${paint('bold', event.certificate)}  ${event.sentence}`
    if (event.kind === 'trouble') return `  ${paint('red', '✗')} ${this.#cut(event.sentence, 4)}`
    const duration =
      event.durationMs === undefined ? '' : paint('dim', `, ${Math.round(event.durationMs)} ms`)
    return `  ${paint('green', '✓')} ${event.sentence}${duration}`
  }

  /** In full the report says it, with what to do. */
  #cut(text: string, taken = 0): string {
    const columns = this.#options.columns()
    const most = (columns ?? Number.POSITIVE_INFINITY) - taken - (this.#options.indent ?? '').length
    const characters = [...text]
    return characters.length <= most ? text : `${characters.slice(0, Math.max(0, most - 1)).join('')}…`
  }

  #print(line: string): void {
    const { indent = '' } = this.#options
    const lines = wrap(indent + line, this.#options.columns() ?? Number.POSITIVE_INFINITY, `${indent}      `)
    this.#erase()
    this.#options.write(`${lines.join('\n')}\n`)
    this.#draw()
  }

  #erase(): void {
    if (this.#stands) this.#options.write('\r\u001b[K')
    this.#stands = false
  }

  #draw(atOnce = false): void {
    if (this.#many.size === 0) return
    const live = this.#options.columns() !== undefined
    const now = this.#options.clock.monotonic()
    const due = now - this.#saidAt >= (live ? REWRITE_MS : LINE_MS)
    if (!due && !atOnce && !(live && !this.#stands)) return
    // The last column stays free: some terminals break the line there.
    const line = this.#cut(this.#summary(now), 1)
    this.#saidAt = now
    const shown = `${this.#options.indent ?? ''}${line}`
    this.#options.write(live ? `\r${shown}\u001b[K` : `${shown}\n`)
    this.#stands = live
  }

  #summary(now: number): string {
    const [inFlight, ended, total] = [this.#sum('inFlight'), this.#sum('ended'), this.#sum('total')]
    const stages = new Set([...this.#many.values()].map(({ stage }) => stage))
    const left = this.#leftMs(now, ended, total)
    return [
      `${ended} of ${total} ${[...stages].join(' or ')}`,
      ...(inFlight > 0 ? [`${inFlight} in flight`] : []),
      ...(this.#worstGapMs === undefined ? [] : [`worst gap ${this.#worstGapMs} ms`]),
      ...(left === undefined ? [] : [`about ${timeText(left)} left`]),
    ].join(' · ')
  }

  #leftMs(now: number, ended: number, total: number): number | undefined {
    while (this.#pace.length > 1 && now - this.#pace[0]!.at > PACE_MS) this.#pace.shift()
    const [first] = this.#pace
    if (!first || ended === total || ended - first.ended < PACE_DOMAINS || now === first.at) return undefined
    return ((total - ended) * (now - first.at)) / (ended - first.ended)
  }

  #sum(field: 'total' | 'ended' | 'inFlight'): number {
    return [...this.#many.values()].reduce((sum, one) => sum + one[field], 0)
  }
}

function timeText(ms: number): string {
  return ms < 2 * minute ? `${Math.max(1, Math.ceil(ms / second))} s` : `${Math.ceil(ms / minute)} min`
}
