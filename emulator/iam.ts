import { agencyRoutes } from './agencies.ts'
import { newResourceId, newToken } from './ids.ts'
import {
  ApiError,
  type AuthProblem,
  frontDoorError,
  type Reply,
  type RequestContext,
  type Service,
} from './service.ts'
import type { User, World } from './world.ts'

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
}
const SIGNED_IN_WRONG = 'The username or password is wrong.'

/** Identity and access: tokens by password, project look-up, temporary access keys. Reference, section 3.1. */
export const iam: Service = {
  name: 'iam',
  routes: [
    {
      name: 'iam.createToken',
      method: 'POST',
      path: '/v3/auth/tokens',
      handler: createToken,
      authenticated: false,
      mutating: false,
    },
    {
      name: 'iam.listProjects',
      method: 'GET',
      path: '/v3/projects',
      handler: listProjects,
      action: 'iam:projects:listProjects',
    },
    {
      name: 'iam.createTemporaryKey',
      method: 'POST',
      path: '/v3.0/OS-CREDENTIAL/securitytokens',
      handler: createTemporaryKey,
      action: 'iam:securitytokens:create',
      mutating: false,
    },
    ...agencyRoutes,
  ],
  errorBody: (error, requestId) =>
    error.code.startsWith('APIGW.')
      ? { error_code: error.code, error_msg: error.message, request_id: requestId }
      : { error: { code: error.status, message: error.message, title: TITLES[error.status] ?? 'Error' } },
  authError: (problem: AuthProblem) =>
    problem === 'bad-signature'
      ? frontDoorError(problem)
      : new ApiError(401, 'IAM.401', 'The request you have made requires authentication.'),
  forbidden: () => new ApiError(403, 'IAM.403', 'You are not authorized to perform the requested action.'),
  badBody: (reason) => bad(reason),
}

function createToken({ world, body, query }: RequestContext): Reply {
  const auth = object(object(body, 'body').auth, 'auth')
  const identity = object(auth.identity, 'auth.identity')
  const methods = identity.methods
  if (!Array.isArray(methods) || methods.length !== 1 || methods[0] !== 'password') {
    throw bad('auth.identity.methods must be ["password"]; the emulator knows no other method')
  }
  const user = object(object(identity.password, 'auth.identity.password').user, 'auth.identity.password.user')
  const found = findUser(world, user)
  if (found === undefined || found.password !== user.password)
    throw new ApiError(401, 'IAM.401', SIGNED_IN_WRONG)
  const scope = readScope(world, auth.scope)
  const issuedAt = world.clock.now()
  const expiresAt = new Date(issuedAt.getTime() + world.rules.tokenLifetimeMs)
  const token = newToken()
  world.tokens.set(token, {
    userName: found.name,
    projectId: scope === 'project' ? world.project.id : undefined,
    expiresAt,
    actions: found.actions,
  })
  const domain = { id: world.project.domainId, name: world.project.domainName }
  return {
    status: 201,
    headers: { 'X-Subject-Token': token },
    body: {
      token: {
        expires_at: microseconds(expiresAt),
        issued_at: microseconds(issuedAt),
        methods: ['password'],
        ...(scope === 'project'
          ? { project: { id: world.project.id, name: world.project.name, domain } }
          : scope === 'domain'
            ? { domain }
            : {}),
        roles: [{ id: '0', name: 'te_admin' }],
        user: { id: found.id, name: found.name, domain, password_expires_at: '' },
        // Several kilobytes on the real service unless `nocatalog` has any value.
        ...((query.get('nocatalog') ?? '') === '' ? { catalog: [] } : {}),
      },
    },
  }
}

function findUser(world: World, user: Record<string, unknown>): User | undefined {
  if (typeof user.password !== 'string') throw bad('auth.identity.password.user.password is missing')
  if (typeof user.id === 'string') return world.users.find((one) => one.id === user.id)
  if (typeof user.name !== 'string') throw bad('auth.identity.password.user.name is missing')
  const domain = object(user.domain, 'auth.identity.password.user.domain')
  if (typeof domain.name !== 'string' && typeof domain.id !== 'string') {
    throw bad('auth.identity.password.user.domain needs a name or an id')
  }
  return world.users.find(
    (one) =>
      one.name === user.name &&
      (typeof domain.name === 'string'
        ? one.domainName === domain.name
        : domain.id === world.project.domainId),
  )
}

function readScope(world: World, value: unknown): 'project' | 'domain' | 'none' {
  if (value === undefined || value === null) return 'none'
  const scope = object(value, 'auth.scope')
  // Both given: the project wins.
  if (scope.project !== undefined) {
    const project = object(scope.project, 'auth.scope.project')
    if (project.id === undefined && project.name === undefined)
      throw bad('auth.scope.project needs an id or a name')
    const known =
      project.id === undefined ? project.name === world.project.name : project.id === world.project.id
    if (!known) throw new ApiError(401, 'IAM.401', 'The project in the scope was not found.')
    return 'project'
  }
  if (scope.domain !== undefined) {
    const domain = object(scope.domain, 'auth.scope.domain')
    const known = domain.id === world.project.domainId || domain.name === world.project.domainName
    if (!known) throw new ApiError(401, 'IAM.401', 'The domain in the scope was not found.')
    return 'domain'
  }
  return 'none'
}

function listProjects({ world, query }: RequestContext): Reply {
  const name = query.get('name')
  const { project } = world
  const self = { self: `http://127.0.0.1/v3/projects/${project.id}` }
  const projects =
    name !== null && name !== project.name
      ? []
      : [
          {
            id: project.id,
            name: project.name,
            domain_id: project.domainId,
            parent_id: project.domainId,
            is_domain: false,
            enabled: true,
            description: '',
            links: self,
          },
        ]
  return {
    status: 200,
    body: { projects, links: { self: 'http://127.0.0.1/v3/projects', previous: null, next: null } },
  }
}

function createTemporaryKey({ world, body, principal }: RequestContext): Reply {
  const identity = object(object(object(body, 'body').auth, 'auth').identity, 'auth.identity')
  if (!Array.isArray(identity.methods) || identity.methods[0] !== 'token') {
    throw bad('auth.identity.methods must be ["token"]; the emulator knows no other method')
  }
  const token = identity.token === undefined ? {} : object(identity.token, 'auth.identity.token')
  const seconds = token.duration_seconds ?? 900
  if (typeof seconds !== 'number' || seconds < 900 || seconds > 86_400) {
    throw bad('auth.identity.token.duration_seconds must lie between 900 and 86400')
  }
  const expiresAt = new Date(world.clock.now().getTime() + seconds * 1000)
  const key = {
    id: `HSTA${newResourceId().slice(0, 16).toUpperCase()}`,
    secret: newResourceId() + newResourceId().slice(0, 8),
    securityToken: newToken(),
    expiresAt,
    actions: principal?.actions,
    ...(principal?.agencyId === undefined ? {} : { agencyId: principal.agencyId }),
  }
  world.accessKeys.set(key.id, key)
  return {
    status: 201,
    body: {
      credential: {
        access: key.id,
        secret: key.secret,
        securitytoken: key.securityToken,
        expires_at: microseconds(expiresAt),
      },
    },
  }
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw bad(`${name} must be an object`)
}

function bad(message: string): ApiError {
  return new ApiError(400, 'IAM.400', message)
}

function microseconds(date: Date): string {
  return date.toISOString().replace(/Z$/, '000Z')
}
