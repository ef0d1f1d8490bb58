import type { Route, Service } from './service.ts'

export interface Match {
  service: Service
  route: Route
  params: Record<string, string>
}

interface Row {
  service: Service
  route: Route
  segments: string[]
}

/** Finds the route of a path. Fixed segments win over parameters, whatever the order of the tables. */
export class Router {
  readonly #rows: Row[]

  constructor(services: Service[]) {
    this.#rows = services.flatMap((service) =>
      service.routes.map((route) => ({ service, route, segments: route.path.split('/') })),
    )
    const parameters = (row: Row) => row.segments.filter(isParameter).length
    this.#rows.sort((a, b) => parameters(a) - parameters(b))
  }

  /** The match, or the methods that the path knows (none where the path is unknown). */
  find(method: string, path: string): Match | { methods: string[] } {
    const wanted = path.split('/')
    const methods: string[] = []
    for (const { service, route, segments } of this.#rows) {
      const params = matchSegments(segments, wanted)
      if (params === undefined) continue
      if (route.method === method) return { service, route, params }
      methods.push(route.method)
    }
    return { methods }
  }
}

function matchSegments(segments: string[], wanted: string[]): Record<string, string> | undefined {
  if (segments.length !== wanted.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, segment] of segments.entries()) {
    const value = wanted[i]!
    if (!isParameter(segment)) {
      if (segment !== value) return undefined
    } else if (value === '') {
      return undefined
    } else {
      params[segment.slice(1, -1)] = decoded(value)
    }
  }
  return params
}

function isParameter(segment: string): boolean {
  return segment.startsWith('{')
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
