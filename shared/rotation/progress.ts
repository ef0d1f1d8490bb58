/** What a person watching a terminal is told while a rotation runs. The log has the same facts, flat. */
export type ProgressEvent =
  | { kind: 'bundle'; certificate: string; sentence: string }
  | { kind: 'step'; certificate: string; step: string; target: string; sentence: string; durationMs?: number }
  | { kind: 'trouble'; certificate: string; target: string; sentence: string }
  /** So many domains are to be bound now, or to be seen served. */
  | { kind: 'stage'; certificate: string; stage: 'bound' | 'served'; total: number }
  /** Some of them begin, or are through with it, well or not. `gapMs`: how long they had no certificate at the most. */
  | { kind: 'turn'; certificate: string; at: 'begun' | 'ended'; domains: number; gapMs?: number }
