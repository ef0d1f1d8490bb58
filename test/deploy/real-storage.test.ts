import { createHash, createHmac } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  PutBucketNotificationConfigurationCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Handler, HandlerResult } from '../../shared/runtime/handler.ts'
import { closeService } from '../../shared/runtime/service.ts'
import { type Bundle, TestCloud } from '../support/cloud.ts'
import { s3Server } from '../support/s3-server.ts'

vi.setConfig({ testTimeout: 60_000 })
const server = await s3Server()

/** A web hook's side of the platform: whatever the storage posts is handed to the real handler. */
class Receiver {
  readonly events: unknown[] = []
  readonly results: Promise<HandlerResult>[] = []
  readonly #server: Server
  #waiting: (() => void)[] = []

  constructor(run: (event: unknown) => Promise<HandlerResult>) {
    this.#server = createServer(async (request, response) => {
      let text = ''
      for await (const chunk of request) text += chunk
      this.events.push(JSON.parse(text))
      this.results.push(run(JSON.parse(text)))
      response.end()
      for (const go of this.#waiting.splice(0)) go()
    })
  }

  listen(): Promise<string> {
    return new Promise((resolve) =>
      this.#server.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`),
      ),
    )
  }

  async until(count: number): Promise<HandlerResult[]> {
    while (this.events.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return Promise.all(this.results)
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

describe.skipIf(!server)('on a real S3 server', () => {
  let cloud: TestCloud
  let client: S3Client
  let bucket: string
  let handler: Handler
  const keys = () => server!.store(bucket).list('')

  beforeAll(async () => {
    cloud = await TestCloud.start()
    client = server!.client()
    bucket = await server!.freshBucket()
    ;({ handler } = await import('../../functions/on-upload.ts'))
    await server!.store(bucket).put('config/rotation.yaml', JSON.stringify(config()))
  })
  afterAll(async () => {
    await closeService()
    client?.destroy()
    await cloud?.close()
  })

  const config = () =>
    cloud.config(
      {},
      {},
      {
        store: {
          bucket,
          region: 'us-east-1',
          endpoint: server!.endpoint,
          pathStyle: true,
          // Elsewhere the agency's key opens both; here gateway and storage are two worlds.
          accessKey: { id: server!.accessKeyId, secret: server!.secretAccessKey },
        },
      },
    )
  /** The config is where a deployed function finds it: in the bucket. */
  const context = () => ({
    getRequestID: () => 'real-storage',
    getRemainingTimeInMilliSeconds: () => 60_000,
    getUserData: (name: string) =>
      ({
        CONFIG_BUCKET: bucket,
        REGION: 'us-east-1',
        OBS_ENDPOINT: server!.endpoint,
        OBS_PATH_STYLE: 'true',
        LOG_LEVEL: 'silent',
      })[name],
    getSecurityAccessKey: () => server!.accessKeyId,
    getSecuritySecretKey: () => server!.secretAccessKey,
    getSecurityToken: () => '',
  })
  const drop = async (bundle: Bundle) => {
    const put = (Key: string, Body: string) =>
      client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))
    await put('incoming/shop/fullchain.pem', bundle.fullchainPem)
    await put('incoming/shop/privkey.pem', bundle.privateKeyPem)
  }

  it('a rotation runs from the bucket to the TLS edge, with config, state, lease and result in the bucket', async () => {
    const bundle = await cloud.issue()
    await drop(bundle)
    const event = {
      Records: [
        {
          eventName: 'ObjectCreated:Put',
          s3: { bucket: { name: bucket }, object: { key: 'incoming/shop/privkey.pem' } },
        },
      ],
    }
    expect(await handler(event, context())).toMatchObject({
      status: 'done',
      outcomes: [{ certificate: 'shop', status: 'rotated' }],
    })
    expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
    const names = (await keys()).map(({ key }) => key)
    expect(names).toContain('state/shop.json')
    expect(names.filter((key) => /^deployed\/shop\/.*result\.json$/.test(key))).toHaveLength(1)
    expect(names.filter((key) => key.startsWith('incoming/') || key.includes('.lease/'))).toEqual([])
  })

  it("the storage's own notification starts the handler, which does one rotation for a pair's two events", async () => {
    const receiver = new Receiver((event) => handler(event, context()))
    const address = await receiver.listen()
    try {
      await createTopic(address)
      await client.send(
        new PutBucketNotificationConfigurationCommand({
          Bucket: bucket,
          NotificationConfiguration: {
            TopicConfigurations: [
              {
                Id: 'incoming',
                TopicArn: 'arn:aws:sns:default::bundles',
                Events: ['s3:ObjectCreated:*'],
                Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'incoming/' }] } },
              },
            ],
          },
        }),
      )
      cloud.emulator.clearCalls()
      const bundle = await cloud.issue()
      await drop(bundle)
      const results = await receiver.until(2)
      expect(JSON.stringify(receiver.events)).toContain('incoming/shop/privkey.pem')
      expect(results.flatMap(({ outcomes }) => outcomes.map(({ status }) => status))).toContain('rotated')
      expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
      expect(cloud.effects()).toMatchObject({ 'apig.createCertificate': 1, 'roma.createCertificate': 1 })
    } finally {
      receiver.close()
    }
  })

  /** Notification topics of Ceph are made by the form-encoded call of SNS, signed for service s3. */
  async function createTopic(endpoint: string): Promise<void> {
    const url = new URL(server!.endpoint)
    const body = new URLSearchParams({
      Action: 'CreateTopic',
      Name: 'bundles',
      'Attributes.entry.1.key': 'push-endpoint',
      'Attributes.entry.1.value': endpoint,
    }).toString()
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
    const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
    const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`
    const names = 'host;x-amz-content-sha256;x-amz-date'
    const canonical = `POST\n/\n\nhost:${url.host}\nx-amz-content-sha256:${sha256(body)}\nx-amz-date:${date}\n\n${names}\n${sha256(body)}`
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${server!.secretAccessKey}`)
    const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`).toString('hex')
    const response = await fetch(server!.endpoint, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-amz-content-sha256': sha256(body),
        'x-amz-date': date,
        authorization: `AWS4-HMAC-SHA256 Credential=${server!.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
      },
    })
    if (!response.ok) throw new Error(`CreateTopic: ${response.status} ${await response.text()}`)
  }
})
