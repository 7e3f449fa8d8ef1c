'use strict'
const $ = (id) => document.getElementById(id)
const out = document.querySelector('main').dataset.out
const list = $('entries')
const cards = [...list.children].map((card, order) => ({card, order, ...JSON.parse(card.dataset.entry)}))
const byCard = new Map(cards.map((one) => [one.card, one]))
const still = matchMedia('(prefers-reduced-motion: reduce)')
const filters = [...document.querySelectorAll('[data-key]')]
const options = [...$('rank').options]
const kept = new Map() // axis -> [low, high]
const node = (name, words, parent) => {
  const made = document.createElement(name)
  if (words !== undefined) made.textContent = words
  if (parent) parent.append(made)
  return made
}
const number = (value) => {
  if (typeof value !== 'number') return value === undefined ? '' : String(value)
  if (Number.isInteger(value)) return String(value)
  return Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2)
}
const value = (one, id) => id.startsWith('key:') ? one.keys[id.slice(4)] : one.scores[id]

const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text

// Copying: a page from a file may have no clipboard.

const copy = async (words, button) => {
  let done = true
  try { await navigator.clipboard.writeText(words) } catch {
    const area = node('textarea', undefined, document.body)
    area.value = words
    area.select()
    done = document.execCommand('copy')
    area.remove()
    button.focus()
  }
  const before = button.dataset.words || (button.dataset.words = button.textContent)
  button.textContent = done ? 'Copied' : 'Select and copy by hand'
  setTimeout(() => { button.textContent = before }, 1600)
}
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy]')
  if (button) copy($(button.dataset.copy).textContent, button)
})

// Playing under the pointer or the focus.

let playing = null
const stop = () => {
  if (playing) playing.remove()
  playing = null
}
const play = (button) => {
  if (playing && playing.parentNode === button) return
  stop()
  const video = document.createElement('video')
  Object.assign(video, {muted: true, loop: true, playsInline: true, src: button.dataset.clip})
  video.setAttribute('aria-hidden', 'true')
  video.onerror = () => { if (playing === video) stop() }
  playing = video
  button.append(video)
  video.play().catch(() => {})
}
for (const button of document.querySelectorAll('button.play')) {
  button.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse' && !still.matches) play(button) })
  button.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') stop() })
  button.addEventListener('focus', () => { if (button.matches(':focus-visible') && !still.matches) play(button) })
  button.addEventListener('blur', stop)
  button.addEventListener('click', () => {
    if (!playing || playing.parentNode !== button) play(button)
    else if (playing.paused) playing.play()
    else playing.pause()
  })
}

// Ranking and filtering.

let turned = false
const fits = (one, axes) => {
  for (const filter of filters) {
    if (filter.value && String(one.keys[filter.dataset.key]) !== filter.value) return false
  }
  const words = $('text').value.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length) {
    const said = [one.card.textContent, ...Object.values(one.keys)].join(' ').toLowerCase()
    if (!words.every((word) => said.includes(word))) return false
  }
  if ($('liked').checked && !liked(one)) return false
  return !axes || [...kept].every(([id, [low, high]]) => {
    const at = axes[id] ? axes[id].at(one) : undefined
    return at !== undefined && at >= low && at <= high
  })
}
const show = () => {
  const id = $('rank').value
  const higher = $('rank').selectedOptions[0].dataset.higher === '1'
  const sign = (higher ? -1 : 1) * (turned ? -1 : 1)
  const ranked = [...cards].sort((one, other) => {
    const [a, b] = [value(one, id), value(other, id)]
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined) || one.order - other.order
    return sign * (a - b) || one.order - other.order
  })
  const axes = plot(ranked)
  let shown = 0
  for (const one of ranked) {
    const fit = fits(one, axes)
    one.card.hidden = !fit
    if (one.path) one.path.classList.toggle('out', !fit)
    shown += fit
    const told = value(one, id)
    const box = one.card.querySelector('.value')
    box.textContent = id === 'run.changed' || told === undefined ? '' : number(told) + (id === 'run.overall' ? ' %' : '')
    box.className = `value ${one.verdicts[id] || ''}`
    one.card.querySelector('.place').textContent = told === undefined ? '' : `${shown}.`
  }
  const order = ranked.map((one) => one.card)
  if (order.some((card, index) => list.children[index] !== card)) {
    const focused = document.activeElement
    list.append(...order)
    if (list.contains(focused)) focused.focus({preventScroll: true})
  }
  $('count').textContent = shown === cards.length ? `${shown} shown` : `${shown} of ${cards.length} shown`
  $('nothing').hidden = shown > 0
}
const reset = () => {
  for (const filter of filters) filter.value = ''
  $('text').value = ''
  $('liked').checked = false
  kept.clear()
  show()
}
for (const one of [$('rank'), $('liked'), ...filters]) one.addEventListener('change', show)
$('text').addEventListener('input', show)
document.querySelector('form').addEventListener('submit', (event) => event.preventDefault())
$('reset').addEventListener('click', reset)
$('reset-too').addEventListener('click', reset)
$('turn').addEventListener('click', () => {
  turned = !turned
  $('turn').setAttribute('aria-pressed', turned)
  show()
})

// Favourites: the file's, and what was changed here since.

const STORE = 'pokora-favourites'
let changes = {}
try { changes = JSON.parse(localStorage.getItem(STORE)) || {} } catch { changes = {} }
const nameOf = (one) => `${out}/${one.name}`
const liked = (one) => nameOf(one) in changes ? changes[nameOf(one)] : one.liked
const quoted = (word) => /^[\w.\/-]+$/.test(word) ? word : `'${word.replace(/'/g, `'"'"'`)}'`
const changed = () => cards.filter((one) => one.name && liked(one) !== one.liked)
const favouriteLines = () => {
  const where = out === 'outputs' ? '' : ` --out ${quoted(out)}`
  const named = (wanted) => changed().filter((one) => liked(one) === wanted).map((one) => quoted(one.name)).join(' ')
  return [[named(true), ''], [named(false), ' --remove']].filter(([names]) => names)
    .map(([names, option]) => `pokora favourite ${names}${option}${where}`).join('\n')
}
const tray = () => {
  const count = changed().length
  $('liked-tray').hidden = !count
  $('liked-words').textContent = `${count} ${count === 1 ? 'change' : 'changes'} of favourites, not in the file yet`
  const pair = cards.filter((one) => one.picked)
  $('pair-tray').hidden = !pair.length
  $('pair-words').textContent = pair.map((one) => cut(one.label, 60)).join('  |  ')
  $('compare').disabled = pair.length !== 2
  $('tray').hidden = !count && !pair.length
}
const star = (one) => {
  const button = one.card.querySelector('.star')
  if (button) button.setAttribute('aria-pressed', Boolean(liked(one)))
}
const keep = () => {
  for (const one of cards) if (one.name && changes[nameOf(one)] === one.liked) delete changes[nameOf(one)]
  try { localStorage.setItem(STORE, JSON.stringify(changes)) } catch { /* then for this visit only */ }
  cards.forEach(star)
  tray()
  if ($('liked').checked) show()
}
for (const one of cards) {
  const button = one.card.querySelector('.star')
  if (button) button.addEventListener('click', () => {
    changes[nameOf(one)] = !liked(one)
    keep()
  })
}
$('liked-copy').addEventListener('click', () => copy(favouriteLines(), $('liked-copy')))
$('liked-drop').addEventListener('click', () => {
  for (const one of changed()) delete changes[nameOf(one)]
  keep()
})
$('liked-save').addEventListener('click', () => {
  const gone = new Set(changed().filter((one) => !liked(one)).map((one) => one.name))
  const known = JSON.parse(list.dataset.liked).filter((name) => !gone.has(name))
  const fresh = changed().filter(liked).map((one) => one.name)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([[...new Set([...known, ...fresh])].join('\n') + '\n'], {type: 'text/plain'}))
  link.download = 'favourites.txt'
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
})

// Two side by side.

for (const one of cards) {
  const box = one.card.querySelector('.pick input')
  if (box) box.addEventListener('change', () => {
    one.picked = box.checked ? Date.now() : 0
    const pair = cards.filter((other) => other.picked).sort((a, b) => a.picked - b.picked)
    if (pair.length > 2) unpick(pair[0]) // the oldest makes room
    tray()
  })
}
const unpick = (one) => {
  one.picked = 0
  one.card.querySelector('.pick input').checked = false
}
$('unpick').addEventListener('click', () => {
  cards.filter((one) => one.picked).forEach(unpick)
  tray()
})
const screens = [...document.querySelectorAll('.screen')]
const captions = [...document.querySelectorAll('figcaption')]
let clips = []
let ticking = 0
const length = () => Math.min(...clips.map((clip) => clip.duration || Infinity))
const seek = (moment) => clips.forEach((clip) => { clip.currentTime = Math.max(0, Math.min(moment, (length() || 0) - 0.001)) })
const clock = () => {
  const moment = clips[0].currentTime
  if (Number.isFinite(length())) $('seek').max = length()
  $('seek').value = moment
  $('clock').textContent = `${moment.toFixed(2)} s`
}
const paused = () => !clips.length || clips[0].paused
const tick = () => {
  if (paused()) return
  const [first, second] = clips
  if (first.currentTime >= length() - 0.02 || first.ended || second.ended) {
    seek(0)
    clips.forEach((clip) => clip.play().catch(() => {}))
  } else if (!second.seeking && Math.abs(second.currentTime - first.currentTime) > 0.05) {
    second.currentTime = first.currentTime
  }
  clock()
  ticking = requestAnimationFrame(tick)
}
const halt = () => {
  clips.forEach((clip) => clip.pause())
  if (clips.length) clips[1].currentTime = clips[0].currentTime
  cancelAnimationFrame(ticking)
  $('run').textContent = 'Play'
}
const go = () => {
  clips.forEach((clip) => {
    clip.playbackRate = Number($('rate').value)
    clip.play().catch(() => {})
  })
  $('run').textContent = 'Pause'
  ticking = requestAnimationFrame(tick)
}
const step = (frames) => {
  halt()
  seek(clips[0].currentTime + frames / 24)
  clock()
}
$('run').addEventListener('click', () => paused() ? go() : halt())
$('back').addEventListener('click', () => step(-1))
$('on').addEventListener('click', () => step(1))
$('seek').addEventListener('input', () => {
  const moment = Number($('seek').value)
  halt()
  seek(moment)
  clock()
})
$('rate').addEventListener('change', () => clips.forEach((clip) => { clip.playbackRate = Number($('rate').value) }))
$('close').addEventListener('click', () => $('beside').close())
$('beside').addEventListener('close', () => {
  halt()
  screens.forEach((screen) => screen.replaceChildren())
  clips = []
})
const differences = (pair) => {
  const rows = $('differences').tBodies[0]
  rows.replaceChildren()
  const ids = new Set(pair.flatMap((one) => Object.keys(one.keys)))
  for (const id of ids) {
    const told = pair.map((one) => one.keys[id])
    if (told[0] !== told[1]) row(rows, id, told)
  }
  for (const option of options) {
    const told = pair.map((one) => one.scores[option.value])
    if (option.value === 'run.changed' || told.every((one) => one === undefined)) continue
    const stage = option.parentNode.label
    const sign = option.dataset.higher === '1' ? 1 : -1
    const best = told.some((one) => one === undefined) || told[0] === told[1] ? -1 : sign * (told[0] - told[1]) > 0 ? 0 : 1
    row(rows, `${option.text} (${stage.toLowerCase()})`, told, best, pair.map((one) => one.verdicts[option.value] || ''))
  }
}
const row = (rows, title, told, best = -1, styles = ['', '']) => {
  const made = node('tr', undefined, rows)
  node('th', title, made).scope = 'row'
  told.forEach((one, index) => {
    const cell = node('td', one === undefined ? 'none' : number(one), made)
    cell.className = `${styles[index]}${best === index ? ' better' : ''}`
  })
}
$('compare').addEventListener('click', () => {
  const pair = cards.filter((one) => one.picked).sort((a, b) => a.picked - b.picked)
  if (pair.length !== 2) return
  stop()
  clips = []
  const moving = pair.every((one) => one.clip)
  pair.forEach((one, index) => {
    const seen = document.createElement(moving ? 'video' : 'img')
    if (moving) Object.assign(seen, {muted: true, playsInline: true, preload: 'auto', src: one.clip})
    else Object.assign(seen, {src: one.full || one.poster, alt: one.label})
    screens[index].replaceChildren(seen)
    captions[index].textContent = one.label
    if (moving) clips.push(seen)
  })
  $('transport').hidden = !moving
  differences(pair)
  $('beside').showModal()
  $(moving ? 'run' : 'close').focus()
  if (moving) {
    clock()
    if (!still.matches) go()
  }
})

// Parallel coordinates.

const SVG = 'http://www.w3.org/2000/svg'
const drawn = (name, attributes, parent, words) => {
  const made = document.createElementNS(SVG, name)
  for (const [key, one] of Object.entries(attributes)) made.setAttribute(key, one)
  if (words !== undefined) made.textContent = words
  if (parent) parent.append(made)
  return made
}
const TOP = 40, HIGH = 210, WIDE = 150, GAP = 120
const axisOf = (box) => {
  const id = box.dataset.axis
  const told = cards.map((one) => value(one, id)).filter((one) => one !== undefined)
  const numbers = told.every((one) => typeof one === 'number')
  const names = numbers ? [] : [...new Set(told.map(String))]
  const low = Math.min(...told), high = Math.max(...told)
  const at = (one) => {
    const found = value(one, id)
    if (found === undefined) return undefined
    if (!numbers) return names.length > 1 ? names.indexOf(String(found)) / (names.length - 1) : 0.5
    if (high === low) return 0.5
    const share = (found - low) / (high - low)
    return box.dataset.higher === '0' ? 1 - share : share
  }
  const ends = numbers ? [low, high] : [names[0], names[names.length - 1]]
  if (numbers && box.dataset.higher === '0') ends.reverse()
  return {id, title: box.dataset.title, at, ends: ends.map(number), names, empty: !told.length}
}
let shownAxes = null
const plot = () => {
  const svg = $('lines')
  if (!svg || !$('parallel').open) return shownAxes
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.axisId : ''
  const boxes = [...document.querySelectorAll('[data-axis]')].filter((box) => box.checked)
  const axes = boxes.map(axisOf).filter((axis) => !axis.empty)
  for (const id of kept.keys()) if (!axes.some((axis) => axis.id === id)) kept.delete(id)
  const room = svg.parentNode.clientWidth || 800
  const gap = axes.length > 1 ? Math.max(GAP, (room - WIDE) / (axes.length - 1)) : 0
  const wide = WIDE + gap * (axes.length - 1)
  svg.replaceChildren()
  svg.setAttribute('width', wide)
  svg.setAttribute('height', TOP + HIGH + 26)
  const x = (index) => WIDE / 2 + gap * index
  const y = (share) => TOP + HIGH * (1 - share)
  for (const one of cards) {
    let path = '', joined = false
    axes.forEach((axis, index) => {
      const at = axis.at(one)
      if (at !== undefined) path += `${joined ? 'L' : 'M'}${x(index).toFixed(1)} ${y(at).toFixed(1)}`
      joined = at !== undefined
    })
    one.path = drawn('path', {class: 'run', d: path || 'M0 0'}, svg)
    drawn('title', {}, one.path, one.label)
    one.path.addEventListener('pointerenter', () => hot(one, true))
    one.path.addEventListener('pointerleave', () => hot(one, false))
    one.path.addEventListener('click', () => {
      one.card.scrollIntoView({block: 'center'})
      const target = one.card.querySelector('.play')
      if (target.focus) target.focus()
    })
  }
  axes.forEach((axis, index) => drawAxis(svg, axis, x(index), y))
  if (focused) {
    const again = svg.querySelector(`[data-axis-id="${CSS.escape(focused)}"]`)
    if (again) again.focus()
  }
  shownAxes = Object.fromEntries(axes.map((axis) => [axis.id, axis]))
  return shownAxes
}
const drawAxis = (svg, axis, x, y) => {
  const range = kept.get(axis.id)
  const ranked = $('rank').value === axis.id
  const group = drawn('g', {class: `axis${ranked ? ' ranked' : ''}`, tabindex: 0, role: 'button', 'data-axis-id': axis.id}, svg)
  group.setAttribute('aria-label', `${axis.title}, ${range ? 'a part is kept' : 'all kept'}: up and down arrow cut, Escape keeps all, Enter ranks`)
  drawn('line', {x1: x, x2: x, y1: y(0), y2: y(1)}, group)
  const name = drawn('text', {class: 'name', x, y: 16, 'text-anchor': 'middle'}, group, cut(axis.title, 20))
  drawn('title', {}, name, axis.title)
  drawn('text', {class: 'tick', x, y: y(1) - 6, 'text-anchor': 'middle'}, group, cut(axis.ends[1], 20))
  drawn('text', {class: 'tick', x, y: y(0) + 17, 'text-anchor': 'middle'}, group, cut(axis.ends[0], 20))
  axis.names.slice(1, -1).forEach((one, index) => {
    drawn('text', {class: 'tick', x: x + 6, y: y((index + 1) / (axis.names.length - 1)) + 4}, group, cut(one, 14))
  })
  const hit = drawn('rect', {class: 'hit', x: x - 14, y: y(1) - 4, width: 28, height: HIGH + 8, rx: 6}, group)
  if (range) drawn('rect', {class: 'kept', x: x - 8, y: y(range[1]), width: 16, height: Math.max(2, y(range[0]) - y(range[1])), rx: 4}, group)
  name.addEventListener('click', () => rank(axis.id))
  group.addEventListener('keydown', (event) => {
    const [low, high] = kept.get(axis.id) || [0, 1]
    if (event.key === 'Enter') rank(axis.id)
    else if (event.key === 'Escape') kept.delete(axis.id)
    else if (event.key === 'ArrowUp') kept.set(axis.id, [Math.min(high, low + 0.05), high])
    else if (event.key === 'ArrowDown') kept.set(axis.id, [low, Math.max(low, high - 0.05)])
    else return
    event.preventDefault()
    show()
  })
  hit.addEventListener('pointerdown', (event) => brush(event, axis, y))
}
const brush = (event, axis, y) => {
  const top = $('lines').getBoundingClientRect().top
  const share = (one) => Math.max(0, Math.min(1, (y(0) - (one.clientY - top)) / HIGH))
  const from = share(event)
  const move = (one) => {
    const to = share(one)
    if (Math.abs(to - from) > 0.02) kept.set(axis.id, [Math.min(from, to), Math.max(from, to)])
    else kept.delete(axis.id)
  }
  const end = (one) => {
    move(one)
    removeEventListener('pointermove', move)
    show()
  }
  event.preventDefault()
  addEventListener('pointermove', move)
  addEventListener('pointerup', end, {once: true})
}
const rank = (id) => {
  if (!options.some((option) => option.value === id)) return
  $('rank').value = id
  show()
}
const hot = (one, on) => {
  one.card.classList.toggle('hot', on)
  if (one.path) one.path.classList.toggle('hot', on)
}
list.addEventListener('pointerover', (event) => point(event.target))
list.addEventListener('focusin', (event) => point(event.target))
list.addEventListener('pointerleave', () => point(null))
let pointed = null
const point = (target) => {
  const card = target && target.closest ? target.closest('.card') : null
  const one = card ? byCard.get(card) : null
  if (one === pointed) return
  if (pointed && pointed.path) pointed.path.classList.remove('hot')
  if (one && one.path) one.path.classList.add('hot')
  pointed = one
}
if ($('parallel')) {
  $('parallel').addEventListener('toggle', show)
  for (const box of document.querySelectorAll('[data-axis]')) box.addEventListener('change', show)
  addEventListener('resize', show)
}
keep()
show()
