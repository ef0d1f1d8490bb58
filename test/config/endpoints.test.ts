import { expect, test } from 'vitest'
import { endpointsFor } from '../../shared/config/endpoints.ts'

test('A region of Huawei Cloud answers below myhuaweicloud.com', () => {
  expect(endpointsFor('ap-southeast-3')).toEqual({
    iam: 'https://iam.ap-southeast-3.myhuaweicloud.com',
    apig: 'https://apig.ap-southeast-3.myhuaweicloud.com',
    roma: 'https://roma.ap-southeast-3.myhuaweicloud.com',
    scm: 'https://scm.ap-southeast-1.myhuaweicloud.com',
    smn: 'https://smn.ap-southeast-3.myhuaweicloud.com',
    dns: 'https://dns.ap-southeast-3.myhuaweicloud.com',
    functiongraph: 'https://functiongraph.ap-southeast-3.myhuaweicloud.com',
    obs: 'https://obs.ap-southeast-3.myhuaweicloud.com',
  })
})

test('The certificate manager is the one of the site that the region belongs to', () => {
  expect(endpointsFor('cn-south-1').scm).toBe('https://scm.cn-north-4.myhuaweicloud.com')
  expect(endpointsFor('af-south-1').scm).toBe('https://scm.ap-southeast-1.myhuaweicloud.com')
  expect(endpointsFor('my-kualalumpur-1').scm).toBe('https://scm.my-kualalumpur-1.myhuaweicloud.com')
})

test('The European site of Huawei Cloud is a cloud of its own', () => {
  const endpoints = endpointsFor('eu-west-101')
  expect(endpoints.apig).toBe('https://apig.eu-west-101.myhuaweicloud.eu')
  expect(endpoints.iam).toBe('https://iam.eu-west-101.myhuaweicloud.eu')
  expect(endpoints.scm).toBeUndefined()
})

test('Open Telekom Cloud has neither SCM nor ROMA, and gateways in eu-de only', () => {
  const endpoints = endpointsFor('eu-de')
  expect(endpoints.apig).toBe('https://apig.eu-de.otc.t-systems.com')
  expect(endpoints.obs).toBe('https://obs.eu-de.otc.t-systems.com')
  expect([endpoints.scm, endpoints.roma]).toEqual([undefined, undefined])
  expect(endpointsFor('eu-nl').apig).toBeUndefined()
  expect(endpointsFor('eu-nl').iam).toBe('https://iam.eu-nl.otc.t-systems.com')
})

test('An endpoint that is set wins, without its trailing slash', () => {
  const endpoints = endpointsFor('eu-de', { scm: 'http://127.0.0.1:8080/scm/', iam: undefined })
  expect(endpoints.scm).toBe('http://127.0.0.1:8080/scm')
  expect(endpoints.iam).toBe('https://iam.eu-de.otc.t-systems.com')
})
