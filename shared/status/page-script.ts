/**
 * The page's only script: search, filters, order, theme, the age of the page, and the details of a certificate when
 * it is opened. It makes text nodes only, never markup, so nothing that a certificate says can become an element.
 */
export const pageScript = String.raw`
(function () {
  'use strict'
  var model = JSON.parse(document.getElementById('model').textContent)
  var root = document.documentElement
  var list = document.getElementById('rows')
  var rows = Array.prototype.slice.call(list.children)
  var search = document.getElementById('search')
  var sort = document.getElementById('sort')
  var found = document.getElementById('found')
  var nothing = document.getElementById('nothing')
  var chips = Array.prototype.slice.call(document.querySelectorAll('.chip'))
  var filter = 'all'
  var spokenHealth = { critical: 'critical', warning: 'needs a look', due: 'in progress', ok: 'well', unknown: 'unknown' }
  var hay = model.certificates.map(function (certificate) {
    var leaf = certificate.leaf || {}
    return [certificate.name, certificate.owner, certificate.where, leaf.commonName, leaf.issuer, leaf.serial, leaf.fingerprint,
      spokenHealth[certificate.health], certificate.next.act].concat(leaf.names || [], certificate.kinds,
      certificate.domains.map(function (domain) { return domain.host + ' ' + domain.gateway })).join(' ').toLowerCase()
  })
  var groups = { all: null, need: ['critical', 'warning'], due: ['due'], ok: ['ok'], unknown: ['unknown'] }

  function remembered(key) { try { return localStorage.getItem(key) } catch (e) { return null } }
  function remember(key, value) { try { localStorage.setItem(key, value) } catch (e) { /* from disk: not kept */ } }

  // Theme
  var themeButton = document.getElementById('theme')
  var themes = ['auto', 'light', 'dark']
  function theme(name) {
    if (name === 'auto') root.removeAttribute('data-theme')
    else root.setAttribute('data-theme', name)
    themeButton.textContent = name === 'auto' ? 'Theme: system' : 'Theme: ' + name
  }
  var chosen = remembered('cert-rotation-theme')
  if (themes.indexOf(chosen) < 0) chosen = 'auto'
  theme(chosen)
  themeButton.hidden = false
  themeButton.addEventListener('click', function () {
    chosen = themes[(themes.indexOf(chosen) + 1) % themes.length]
    theme(chosen)
    remember('cert-rotation-theme', chosen)
  })

  // Search, filter, order
  function apply() {
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
    var health = groups[filter]
    var shown = 0
    rows.forEach(function (row, i) {
      var fits = (!health || health.indexOf(row.getAttribute('data-h')) >= 0) &&
        words.every(function (word) { return hay[i].indexOf(word) >= 0 })
      if (row.hidden === fits) row.hidden = !fits
      if (fits) shown++
    })
    nothing.hidden = shown > 0 || rows.length === 0
    found.textContent = shown === rows.length
      ? rows.length + (rows.length === 1 ? ' certificate' : ' certificates')
      : shown + ' of ' + rows.length + ' certificates'
  }
  search.addEventListener('input', apply)
  chips.forEach(function (chip) {
    chip.addEventListener('click', function () {
      filter = chip.getAttribute('data-f')
      chips.forEach(function (other) { other.setAttribute('aria-pressed', String(other === chip)) })
      apply()
    })
  })
  sort.addEventListener('change', function () {
    var keyed = rows.map(function (row, i) { return [row, i, model.certificates[i]] })
    keyed.sort(function (a, b) {
      if (sort.value === 'name') return a[2].name.localeCompare(b[2].name)
      if (sort.value === 'end') return endOf(a[2]) - endOf(b[2]) || a[1] - b[1]
      return a[1] - b[1]
    })
    var fragment = document.createDocumentFragment()
    keyed.forEach(function (entry) { fragment.appendChild(entry[0]) })
    list.appendChild(fragment)
  })
  function endOf(certificate) { return certificate.leaf ? certificate.leaf.secondsLeft : Infinity }
  document.getElementById('tools').hidden = false

  // Keyboard: / to search, Escape to clear, arrows from row to row
  document.addEventListener('keydown', function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    var inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
    if (event.key === '/' && !inField) { event.preventDefault(); search.focus(); search.select(); return }
    if (event.key === 'Escape' && event.target === search && search.value) { search.value = ''; apply(); return }
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    var row = event.target.closest ? event.target.closest('#rows > li') : null
    var down = event.key === 'ArrowDown'
    if (row && event.target.parentNode.parentNode !== row) return
    if (!row && event.target !== search) return
    var next = row ? step(row, down) : down ? first() : null
    if (!next && row && !down) { event.preventDefault(); search.focus(); return }
    if (next) { event.preventDefault(); next.firstElementChild.firstElementChild.focus() }
  })
  function step(row, down) {
    var next = row
    do { next = down ? next.nextElementSibling : next.previousElementSibling } while (next && next.hidden)
    return next
  }
  function first() { var row = list.firstElementChild; return row && row.hidden ? step(row, true) : row }

  // Details
  rows.forEach(function (row, i) {
    var details = row.firstElementChild
    details.addEventListener('toggle', function () {
      if (details.open && !details.filled) { details.filled = true; fill(details.lastElementChild, model.certificates[i]) }
    })
  })
  function byHash() {
    var name
    try { name = decodeURIComponent(location.hash.slice(1)) } catch (e) { return }
    var i = model.certificates.findIndex(function (certificate) { return certificate.name === name })
    if (i < 0) return
    rows[i].firstElementChild.open = true
    rows[i].scrollIntoView({ block: 'start' })
  }
  window.addEventListener('hashchange', byHash)

  function el(tag, text, classes) {
    var node = document.createElement(tag)
    if (text !== undefined && text !== null) node.textContent = text
    if (classes) node.className = classes
    return node
  }
  function add(parent) {
    for (var i = 1; i < arguments.length; i++) if (arguments[i]) parent.appendChild(arguments[i])
    return parent
  }
  function when(iso) { return iso ? iso.slice(0, 16).replace('T', ' ') + ' UTC' : '–' }
  function span(ms) {
    if (ms < 1000) return Math.round(ms) + ' ms'
    if (ms < 60000) return (ms / 1000).toFixed(ms < 10000 ? 1 : 0) + ' s'
    if (ms < 7200000) return Math.round(ms / 60000) + ' min'
    if (ms < 172800000) return Math.round(ms / 3600000) + ' h'
    return Math.round(ms / 86400000) + ' days'
  }
  var tone = {
    expected: '', nobody: 'critical', foreign: 'critical', 'wrong name': 'critical', older: 'warning', 'incomplete chain': 'warning',
    'not reached': 'unknown', 'not looked at': 'unknown',
    rotated: '', 'already deployed': '', served: '', 'already served': '', pushed: '', 'already pushed': '',
    failed: 'critical', 'without certificate': 'critical', refused: 'warning', 'rolled back': 'warning', restored: 'warning',
    unfinished: 'due', waiting: 'due', superseded: 'unknown', untouched: 'unknown', 'bound, not verified': 'unknown',
  }
  var spoken = { expected: 'as expected', nobody: 'no certificate', older: 'an older one', foreign: 'not ours' }
  function badge(status) { return el('span', spoken[status] || status, 'v ' + (tone[status] || '')) }
  // On a phone the rows become blocks, and then browsers forget that it is a table.
  function role(node, name) { node.setAttribute('role', name); return node }
  function heading(text) { return el('h3', text, 'h') }
  function table(caption, head, body) {
    var scroll = el('div', null, 'scroll')
    scroll.tabIndex = 0
    scroll.setAttribute('role', 'region')
    scroll.setAttribute('aria-label', caption)
    var t = role(el('table'), 'table')
    var tr = add(role(el('thead'), 'rowgroup'), role(el('tr'), 'row'))
    head.forEach(function (text) { var th = role(el('th', text), 'columnheader'); th.scope = 'col'; tr.firstChild.appendChild(th) })
    t.appendChild(tr)
    var tbody = role(el('tbody'), 'rowgroup')
    function some(from, to) {
      body.slice(from, to).forEach(function (cells) {
        var line = role(el('tr'), 'row')
        cells.forEach(function (cell, column) {
          var node = role(el(column === 0 ? 'th' : 'td'), column === 0 ? 'rowheader' : 'cell')
          if (column === 0) node.scope = 'row'
          else node.setAttribute('data-l', head[column])
          if (cell === undefined || cell === '') node.className = 'none'
          else if (!cell.nodeType && /^(Until|Gateway|At|Took|Gap|Service)$/.test(head[column])) node.className = 'n'
          if (cell && cell.nodeType) node.appendChild(cell)
          else node.textContent = cell === undefined ? '–' : cell
          line.appendChild(node)
        })
        tbody.appendChild(line)
      })
    }
    some(0, 50)
    add(scroll, add(t, tbody))
    if (body.length <= 50) return scroll
    var more = el('button', 'Show ' + (body.length - 50) + ' more', 'more')
    more.type = 'button'
    more.addEventListener('click', function () { some(50); more.remove() })
    return add(el('div'), scroll, more)
  }
  function fact(dl, label, value, mono) {
    if (value === undefined || value === '') return
    add(dl, el('dt', label), add(el('dd'), mono ? el('span', value, 'mono') : document.createTextNode(value)))
  }
  function fill(body, certificate) {
    var leaf = certificate.leaf
    if (certificate.domains.length) {
      add(body, heading('Domains'), table('Domains of ' + certificate.name, ['Domain', 'Serves', 'Certificate', 'Until', 'Gateway'],
        certificate.domains.map(function (domain) {
          var verdict = add(el('span'), badge(domain.verdict))
          if (domain.verdict !== 'expected' && domain.detail) add(verdict, el('div', domain.detail, 'soft'))
          var seen = domain.verdict !== 'nobody' && domain.verdict !== 'not reached' && domain.verdict !== 'not looked at'
          var served = domain.served || (seen && leaf) || undefined
          return [domain.host, verdict, served && served.commonName + (served.issuer ? ', by ' + served.issuer : ''),
            served && when(served.notAfter), domain.gateway]
        })))
    }
    if (leaf) {
      var dl = el('dl', null, 'facts')
      fact(dl, 'Common name', leaf.commonName)
      fact(dl, 'Names', leaf.names.slice(0, 30).join(', ') + (leaf.names.length > 30 ? ' and ' + (leaf.names.length - 30) + ' more' : ''))
      fact(dl, 'Issuer', leaf.issuer)
      fact(dl, 'Valid', (leaf.notBefore ? when(leaf.notBefore) : '?') + ' – ' + when(leaf.notAfter))
      fact(dl, 'Key', leaf.algorithm)
      fact(dl, 'Serial', leaf.serial, true)
      leaf.chain.forEach(function (fingerprint, i) { fact(dl, i === 0 ? 'Chain, SHA-256' : 'issuer ' + i, fingerprint, true) })
      if (!leaf.chain.length) fact(dl, 'SHA-256 or id', leaf.fingerprint, true)
      fact(dl, 'Owner', certificate.owner)
      fact(dl, 'Snoozed until', certificate.snoozeUntil)
      fact(dl, 'Found at', certificate.where)
      fact(dl, 'Next', certificate.next.act + (certificate.next.at ? ', ' + when(certificate.next.at) : ''))
      add(body, heading('Certificate in service'), dl)
    }
    if (certificate.rotations.length) {
      add(body, heading('Last rotations'))
      certificate.rotations.forEach(function (rotation, i) { body.appendChild(rotationNode(rotation, i === 0, certificate.name)) })
    }
    if (!body.childNodes.length) add(body, el('p', 'Nothing is known about this certificate yet.', 'soft'))
  }
  function rotationNode(rotation, open, certificate) {
    var name = 'the rotation of ' + certificate + ', ' + when(rotation.at)
    var node = el('details', null, 'rot')
    node.open = open
    var gap = rotation.longestGapMs === undefined ? '' : 'longest gap ' + span(rotation.longestGapMs)
    add(node, add(el('summary'), badge(rotation.status), el('span', when(rotation.at)), el('span', 'took ' + span(rotation.durationMs), 'soft'),
      gap && el('span', gap, 'soft')))
    var inside = el('div', null, 'in')
    add(inside, el('p', rotation.sentence))
    rotation.failures.forEach(function (failure) {
      var box = add(el('div', null, 'problem'), el('p', failure.message), el('p', failure.next))
      add(box, el('p', [failure.code].concat(['errorCode', 'requestId'].filter(function (key) { return failure.facts && failure.facts[key] })
        .map(function (key) { return String(failure.facts[key]) })).join(' · '), 'soft mono'))
      inside.appendChild(box)
    })
    if (rotation.steps.length) {
      add(inside, table('Steps of ' + name, ['Step', 'Target', 'At', 'Took'], rotation.steps.map(function (step) {
        return [step.step, step.target, step.at.slice(11, 23), step.tookMs === undefined ? undefined : span(step.tookMs)]
      })))
    }
    if (rotation.domains.length) {
      add(inside, heading('What became of each domain'), table('Domains of ' + name, ['Domain', 'Result', 'Gap', 'Gateway'], rotation.domains.map(function (domain) {
        var result = add(el('span'), badge(domain.status))
        if (domain.failure || domain.note) add(result, el('div', domain.failure || domain.note, 'soft'))
        return [domain.host, result, domain.gapMs === undefined ? undefined : span(domain.gapMs), domain.gateway]
      })))
    }
    if (rotation.pushed.length) {
      add(inside, heading('Pushed to'), table('Pushes of ' + name, ['Service', 'Project', 'Result'], rotation.pushed.map(function (push) {
        var result = add(el('span'), badge(push.status))
        if (push.failure) add(result, el('div', push.failure, 'soft'))
        return [push.service, push.project, result]
      })))
    }
    return add(node, inside)
  }

  // A page that nobody writes any more must not look calm.
  var made = Date.parse(model.at)
  var every = (model.lastTick && model.lastTick.everyMs) || 86400000
  function age() {
    var old = Date.now() - made
    document.getElementById('age').textContent = old < 60000 ? 'just now' : span(old) + ' ago'
    document.getElementById('stale').hidden = old < 2 * every + 900000
  }

  // What was said when the page was written is reckoned anew: rounded down, in the largest unit of which there are two.
  var units = [[86400000, ' days'], [3600000, ' hours'], [60000, ' minutes'], [1000, ' seconds']]
  function distance(ms) {
    var unit = units.find(function (one) { return Math.abs(ms) >= 2 * one[0] })
    return unit ? Math.floor(Math.abs(ms) / unit[0]) + unit[1] : '1 second'
  }
  var moments = Array.prototype.slice.call(document.querySelectorAll('time[data-as]'))
  function reckon() {
    age()
    moments.forEach(function (node) {
      var away = Date.parse(node.getAttribute('datetime')) - Date.now()
      var form = node.getAttribute('data-as')
      var text = Math.abs(away) < 1000 ? 'just now' : away < 0 ? distance(away) + ' ago' : 'in ' + distance(away)
      if (form === 'left') text = away < 0 ? 'ended ' + distance(away) + ' ago' : distance(away) + ' left'
      else if (form !== 'ago') text = form + text + (form === ' (' ? ')' : '')
      if (node.textContent !== text) node.textContent = text
    })
  }
  reckon()
  setInterval(reckon, 30000)
  apply()
  byHash()
})()
`.trim()
