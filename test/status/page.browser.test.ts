import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StatusModel } from '../../shared/status/model.ts'
import { renderPage } from '../../shared/status/page.ts'
import { hostileModel, largeModel, smallModel } from './fixtures.ts'

const executable = (
  process.env.CHROMIUM
    ? [process.env.CHROMIUM]
    : ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
).find(existsSync)
if (executable === undefined) {
  const reason = "no Chromium at /usr/bin: install Debian's package chromium"
  if (process.env.REQUIRE_CHROMIUM === '1') throw new Error(`REQUIRE_CHROMIUM=1, but ${reason}`)
  console.warn(`The status page is not tested in a browser: ${reason}.`)
}

const shots = join(import.meta.dirname, '../../build/screenshots')
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface AxeResult {
  violations: { id: string; help: string; nodes: { html: string; failureSummary: string }[] }[]
}

describe.skipIf(executable === undefined)('the status page in Chromium', () => {
  let browser: Browser
  let folder: string
  const problems: string[] = []

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'status-page-'))
    mkdirSync(shots, { recursive: true })
    browser = await chromium.launch({
      executablePath: executable ?? '',
      args: ['--no-sandbox', '--disable-background-networking', '--no-first-run'],
      env: { ...process.env, HOME: folder },
    })
  })

  afterAll(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(
    name: string,
    model: StatusModel,
    options: { dark?: boolean; phone?: boolean; javaScriptEnabled?: boolean; hash?: string } = {},
  ): Promise<Page> {
    const file = join(folder, `${name}.html`)
    writeFileSync(file, renderPage(model))
    const context = await browser.newContext({
      colorScheme: options.dark === true ? 'dark' : 'light',
      viewport: options.phone === true ? { width: 390, height: 844 } : { width: 1280, height: 900 },
      javaScriptEnabled: options.javaScriptEnabled ?? true,
      // axe is put into the page for the test; what the page itself may do is asserted without this.
      bypassCSP: name.startsWith('axe-'),
    })
    const page = await context.newPage()
    page.setDefaultTimeout(10_000)
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        problems.push(`${name}: ${message.text()}`)
    })
    page.on('pageerror', (error) => problems.push(`${name}: ${error.message}`))
    page.on('dialog', (dialog) => {
      problems.push(`${name}: a dialog opened`)
      void dialog.dismiss()
    })
    page.on('request', (request) => {
      if (!request.url().startsWith('file:') && !request.url().startsWith('data:'))
        problems.push(`${name}: asked for ${request.url()}`)
    })
    await page.goto(`${pathToFileURL(file).href}${options.hash ?? ''}`)
    return page
  }

  async function violations(page: Page): Promise<string[]> {
    await page.evaluate(axeSource)
    const result = (await page.evaluate(
      "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
    )) as AxeResult
    return result.violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html.slice(0, 160)} – ${node.failureSummary}`),
    )
  }

  const rowNames = (page: Page): Promise<string[]> =>
    page.evaluate(
      "[...document.querySelectorAll('#rows > li:not([hidden]) .name')].map((name) => name.textContent)",
    )

  for (const [scheme, phone] of [
    ['light', false],
    ['dark', false],
    ['light', true],
    ['dark', true],
  ] as const) {
    test(`three certificates, ${scheme}${phone ? ', on a phone' : ''}: axe finds no violation, closed and opened`, async () => {
      const page = await open(`axe-3-${scheme}`, smallModel(new Date()), { dark: scheme === 'dark', phone })
      const label = `3-${scheme}${phone ? '-phone' : ''}`
      await page.screenshot({ path: join(shots, `${label}.png`) })
      const closed = await violations(page)
      for (const summary of await page.locator('#rows > li > details > summary').all()) await summary.click()
      const opened = await violations(page)
      await page.screenshot({ path: join(shots, `${label}-open.png`), fullPage: true })
      const wider = await page.evaluate('document.documentElement.scrollWidth > window.innerWidth')
      expect([...closed, ...opened]).toEqual([])
      expect(wider).toBe(false)
      await page.context().close()
    })
  }

  test('a thousand certificates: screenshots in light, dark and on a phone', async () => {
    const model = largeModel(1_000, new Date())
    for (const [scheme, phone] of [
      ['light', false],
      ['dark', false],
      ['dark', true],
    ] as const) {
      const page = await open('1000', model, {
        dark: scheme === 'dark',
        phone,
      })
      await page.screenshot({ path: join(shots, `1000-${scheme}${phone ? '-phone' : ''}.png`) })
      await page.context().close()
    }
  })

  test('a fleet in every state: axe finds no violation', async () => {
    // axe needs a minute for a thousand rows that are all alike.
    const page = await open('axe-fleet', largeModel(140, new Date()))
    await page.getByRole('button', { name: /^Needs you/ }).click()
    expect(await violations(page)).toEqual([])
    await page.context().close()
  })

  test('the most urgent comes first, and searching, filtering and ordering show what they say', async () => {
    const page = await open('search', largeModel(1_000, new Date()))
    expect(await page.locator('#rows > li').first().getAttribute('data-h')).toBe('critical')

    await page.getByLabel('Search certificates').fill('login.service-0500.example')
    expect(await rowNames(page)).toEqual(['service-0500'])
    expect(await page.locator('#found').textContent()).toBe('1 of 1000 certificates')

    await page.getByLabel('Search certificates').fill('team-3 renew 0003')
    expect(await rowNames(page)).toEqual(['service-0003'])

    await page.getByLabel('Search certificates').fill('no such thing')
    expect(await rowNames(page)).toEqual([])
    expect(await page.getByText('No certificate fits.').isVisible()).toBe(true)

    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: /^Needs you/ }).click()
    const shown = (await page.evaluate(
      "[...document.querySelectorAll('#rows > li:not([hidden])')].map((row) => row.dataset.h)",
    )) as string[]
    expect(new Set(shown)).toEqual(new Set(['critical', 'warning']))

    await page.getByRole('button', { name: /^All/ }).click()
    await page.getByLabel('Order').selectOption('name')
    expect((await rowNames(page)).slice(0, 3)).toEqual(['service-0000', 'service-0001', 'service-0002'])
    await page.context().close()
  })

  test('a certificate opens to its domains, its chain and its last rotations with steps and gaps', async () => {
    const page = await open('details', smallModel(new Date()))
    const shop = page.locator('#rows > li', { has: page.getByText('shop', { exact: true }) })
    await shop.locator('summary').first().click()
    // What a row holds is made when it is opened.
    await shop.getByText('Chain, SHA-256').waitFor()
    const text = await shop.textContent()
    expect(text).toContain('www.shop.example')
    expect(text).toContain('as expected')
    expect(text).toContain('Chain, SHA-256')
    expect(text).toContain('longest gap 120 ms')
    expect(
      await shop
        .getByRole('region', { name: /^Steps of/ })
        .getByRole('row')
        .count(),
    ).toBe(10)

    const mail = page.locator('#rows > li', { has: page.getByText('mail', { exact: true }) })
    await mail.locator('summary').first().click()
    await mail.getByText('APIG.2011').first().waitFor()
    const why = await mail.textContent()
    expect(why).toContain('APIG.2011')
    expect(why).toContain('4f0c7b2e')
    expect(why).toContain('the predecessor is in service again')
    await page.context().close()
  })

  test('everything can be done with the keyboard alone', async () => {
    const page = await open('keyboard', smallModel(new Date()))
    await page.keyboard.press('/')
    expect(await page.evaluate('document.activeElement.id')).toBe('search')
    await page.keyboard.type('shop')
    expect(await rowNames(page)).toEqual(['shop'])
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    expect(await page.locator('#rows > li:not([hidden]) > details').getAttribute('open')).not.toBeNull()
    await page.keyboard.press('ArrowUp')
    expect(await page.evaluate('document.activeElement.id')).toBe('search')
    await page.context().close()
  })

  test("the theme is the system's until somebody chooses another", async () => {
    const page = await open('theme', smallModel(new Date()))
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.getByRole('button', { name: 'Theme: system' }).click()
    expect(await ground()).toBe(light)
    await page.getByRole('button', { name: 'Theme: light' }).click()
    expect(await ground()).not.toBe(light)
    await page.context().close()
  })

  test('a link to a certificate opens it', async () => {
    const page = await open('link', smallModel(new Date()), { hash: '#shop' })
    const row = page.locator('#rows > li', { has: page.getByText('shop', { exact: true }) })
    expect(await row.locator('details').first().getAttribute('open')).not.toBeNull()
    await page.context().close()
  })

  test('a page that nobody writes any more says so', async () => {
    const fresh = await open('fresh', smallModel(new Date()))
    expect(await fresh.locator('#stale').isVisible()).toBe(false)
    const old = await open('old', smallModel(new Date(Date.now() - 5 * 3_600_000)))
    expect(await old.locator('#stale').isVisible()).toBe(true)
    expect(await old.locator('#age').textContent()).toBe('5 h ago')
    await Promise.all([fresh.context().close(), old.context().close()])
  })

  test('how long ago and how long yet are reckoned when the page is read, and without script dates stand there', async () => {
    const model = smallModel(new Date(Date.now() - 3 * 86_400_000 - 60_000))
    const rows = async (page: Page) =>
      (await page.locator('#rows > li summary').allTextContents()).join('\n').replace(/\s+/g, ' ')
    const read = await open('ages', model)
    const live = await rows(read)
    // Ten days, twelve hours, thirteen days and two hours from when it was written.
    expect(live).toMatch(/29 days left/)
    expect(live).toMatch(/ended 2 days ago/)
    expect(live).toMatch(/rolled back ?3 days ago/)
    expect(live).toMatch(/rotated ?16 days ago/)
    expect(live).toMatch(/UTC, 2 days ago/)
    const still = await rows(await open('ages-noscript', model, { javaScriptEnabled: false }))
    const shop = model.certificates.find(({ name }) => name === 'shop')
    expect(still).toContain(`until ${shop?.leaf?.notAfter.slice(0, 10)}`)
    expect(still).toContain(`rotated${shop?.rotations[0]?.at.slice(0, 10)}`)
    expect(still).not.toMatch(/\d (days|hours) (ago|left)|in \d+ (days|hours)/)
    await read.context().close()
  })

  test('without script the overview and everything that is wrong can be read', async () => {
    const page = await open('noscript', smallModel(new Date()), { javaScriptEnabled: false })
    await page.locator('#rows > li summary').first().click()
    const row = page.locator('#rows > li').first()
    await row.getByText('refused the handshake').first().waitFor()
    expect(await row.textContent()).toContain('refused the handshake')
    await page.context().close()
  })

  test('names and messages that try to be markup stay text', async () => {
    const page = await open('hostile', hostileModel(new Date()))
    for (const summary of await page.locator('#rows > li > details > summary').all()) await summary.click()
    await page.locator('main').getByText('<script>alert(1)</script>').first().waitFor()
    expect(await page.locator('main img, main script, main a').count()).toBe(0)
    expect(await page.locator('main').textContent()).toContain('<script>alert(1)</script>')
    expect(await page.content()).not.toContain('\u202e')
    await page.context().close()
  })

  test("the policy stops a script and a style that are not the page's own", async () => {
    const page = await open('policy', smallModel(new Date()))
    const seenBefore = problems.length
    const ran = await page.evaluate(`(() => {
      const script = document.createElement('script')
      try { script.textContent = 'window.ran = true' } catch { return 'trusted types' }
      document.body.append(script)
      return window.ran === true
    })()`)
    expect(ran).toBe('trusted types')
    problems.length = seenBefore
    await page.context().close()
  })

  test('nothing was asked from the network, logged as an error or opened as a dialog', () => {
    expect(problems).toEqual([])
  })
})
