// Calendars against an oracle that knows nothing of ours: the wall clocks of ICU (Intl), and a list of all intervals.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from './support/system.mjs'

const SEED = Number(process.env.ANSWERD_CALENDAR_SEED ?? 20260329)
const CASES = Number(process.env.ANSWERD_CALENDAR_CASES ?? 4000)
const zones = ['Europe/Zurich', 'America/New_York', 'America/St_Johns', 'Australia/Lord_Howe', 'Africa/Casablanca', 'Asia/Kolkata',
  'America/Santiago', 'Pacific/Auckland', 'Europe/Dublin', 'America/Havana', 'Asia/Tokyo', 'UTC']

let state = SEED >>> 0
const random = (below) => { // xorshift32: the same cases for the same seed
  state ^= state << 13; state >>>= 0
  state ^= state >>> 17
  state ^= state << 5; state >>>= 0
  return state % below
}
const pick = (list) => list[random(list.length)]

// --- the oracle ---------------------------------------------------------------------------------------------------------

const clocks = new Map(zones.map((zone) => [zone, new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric',
  month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' })]))
// What the wall clock shows, as seconds since 1970 of a place without a time zone.
function wall(zone, t) {
  const part = Object.fromEntries(clocks.get(zone).formatToParts(t * 1000).map(({ type, value }) => [type, Number(value)]))
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1000
}
// When the wall clock shows that: the first time when it does so twice; the moment of the change when it skips it.
const DAY = 86400
const moments = new Map()
function moment(zone, shown) {
  const key = `${zone} ${shown}`
  if (!moments.has(key)) {
    const offsets = [-26, 26].map((hours) => wall(zone, shown + hours * 3600) - (shown + hours * 3600))
    const matches = offsets.map((offset) => shown - offset).filter((t) => wall(zone, t) === shown)
    let [before, change] = [shown - DAY, shown + DAY]
    while (!matches.length && change - before > 1) { // the last second at which the clock shows less, and the one after it
      const middle = Math.floor((before + change) / 2)
      if (wall(zone, middle) < shown) before = middle
      else change = middle
    }
    moments.set(key, matches.length ? Math.min(...matches) : change)
  }
  return moments.get(key)
}

const names = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
const seconds = (text) => { const [h, m] = text.split(':').map(Number); return h * 3600 + m * 60 }

// All times of being open between two moments: merged, in order.
function openTimes(calendar, from, to) {
  const all = []
  for (let day = Math.floor(from / DAY) - 2; day <= Math.floor(to / DAY) + 2; day++) {
    const date = new Date(day * DAY * 1000).toISOString().slice(0, 10)
    const exception = (key) => calendar.special[key] ?? (calendar.holidays.includes(key) ? [] : undefined)
    const hours = exception(date) ?? exception(date.slice(5)) ?? calendar.hours[names[(day + 3) % 7]] ?? []
    for (const text of hours) {
      const [begin, end] = text.split('-').map(seconds)
      const opens = moment(calendar.zone, day * DAY + begin)
      const closes = moment(calendar.zone, day * DAY + end + (end < begin ? DAY : 0))
      if (opens < closes) all.push([opens, closes])
    }
  }
  all.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const merged = []
  for (const [opens, closes] of all) {
    const last = merged.at(-1)
    if (last && opens <= last[1]) last[1] = Math.max(last[1], closes)
    else merged.push([opens, closes])
  }
  return merged
}

const oracle = {
  open: (times, t) => times.some(([opens, closes]) => opens <= t && t < closes),
  next_open: (times, t) => Math.max(t, times.find(([, closes]) => closes > t)[0]),
  next_close: (times, t) => times.find(([, closes]) => closes > t)[1],
  add: (times, t, duration) => {
    for (const [opens, closes] of times) {
      if (closes <= t) continue
      const begin = Math.max(opens, t)
      if (duration <= closes - begin) return begin + duration
      duration -= closes - begin
    }
  },
  between: (times, t, until) => times.reduce((sum, [opens, closes]) => sum + Math.max(0, Math.min(closes, until) - Math.max(opens, t)), 0),
}

// --- cases -----------------------------------------------------------------------------------------------------------------

const time = (minutes) => `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
// One to three intervals of a day; the last one may go over midnight. Many begin or end near the hours at which clocks change.
function hours() {
  const marks = new Set()
  const count = 1 + random(3)
  while (marks.size < 2 * count) marks.add(random(2) ? random(96) * 15 : random(18) * 15)
  const sorted = [...marks].sort((a, b) => a - b)
  const list = []
  for (let i = 0; i < sorted.length; i += 2) list.push(`${time(sorted[i])}-${time(sorted[i + 1])}`)
  if (random(4) === 0) list[list.length - 1] = `${time(sorted.at(-2))}-${pick(['24:00', time(random(1 + Math.min(sorted.at(-2), 600) / 15) * 15)])}`
  return list.filter((text) => !/^(\d\d:\d\d)-\1$/.test(text))
}
function someCalendar(zone) {
  const calendar = { zone, hours: {}, holidays: [], special: {} }
  for (const name of names) if (random(5)) calendar.hours[name] = hours()
  calendar.hours.wed = ['10:00-11:00']
  const dates = new Set()
  while (dates.size < 5) dates.add(new Date((20454 + random(400)) * DAY * 1000).toISOString().slice(0, 10)) // 2026 and 2027
  const [a, b, c, d, e] = dates
  calendar.holidays = [a, b.slice(5), '12-25']
  calendar.special = { [c]: hours(), [d]: [], [e]: hours(), '12-24': ['09:00-12:00'] }
  return calendar
}
const lua = (value) => Array.isArray(value) ? `{ ${value.map((item) => JSON.stringify(item)).join(', ')} }`
  : `{ ${Object.entries(value).map(([key, item]) => `["${key}"] = ${lua(item)}`).join(', ')} }`

// Where clocks change, so that many cases are near.
function changes(zone, from, to) {
  const found = []
  for (let t = from; t < to; t += DAY / 2)
    if (wall(zone, t) - t !== wall(zone, t + DAY / 2) - (t + DAY / 2)) found.push(t)
  return found
}

test(`calendars agree with an independent oracle (seed ${SEED}, ${CASES} cases)`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'answerd calendars '))
  const from = Date.UTC(2026, 0, 1) / 1000
  const to = Date.UTC(2027, 0, 31) / 1000
  try {
    const calendars = zones.flatMap((zone) => [0, 1, 2].map(() => someCalendar(zone)))
    const times = calendars.map((calendar) => openTimes(calendar, from, to + 200 * DAY))
    const near = new Map(zones.map((zone) => [zone, changes(zone, from, to)]))
    writeFileSync(join(folder, 'calendars.lua'), calendars.map((calendar, i) =>
      `calendar "c${i}" { timezone = "${calendar.zone}", hours = ${lua(calendar.hours)}, holidays = ${lua(calendar.holidays)}, special = ${lua(calendar.special)} }`).join('\n'))
    const cases = []
    for (let n = 0; n < CASES; n++) {
      const i = random(calendars.length)
      const around = near.get(calendars[i].zone)
      const t = random(3) && around.length ? pick(around) + random(2 * DAY) - DAY / 2 : from + random(to - from)
      const method = pick(Object.keys(oracle))
      const given = method === 'add' ? pick([0, 60, 900, 4 * 3600, DAY, random(5 * DAY)])
        : method === 'between' ? t + pick([3600, DAY, random(60 * DAY)]) : undefined
      cases.push({ i, t, method, given, expected: oracle[method](times[i], t, given) })
    }
    const tests = cases.map(({ i, t, method, given, expected }) => `  same("c${i}", "${method}", ${t}, ${given ?? 'nil'}, ${expected})`)
    // A Lua function has at most some ten thousand constants.
    const parts = []
    for (let at = 0; at < tests.length; at += 500)
      parts.push(`test("part ${at}", function(t)\n  local wrong = {}\n  local same = comparing(wrong)\n${tests.slice(at, at + 500).join('\n')}\n` +
        '  if #wrong > 0 then error(#wrong .. " wrong: " .. table.concat(wrong, "; ", 1, math.min(5, #wrong)), 0) end\nend)')
    writeFileSync(join(folder, 'calendars_test.lua'), `local function comparing(wrong)
  return function(name, method, at, given, expected)
    local c = calendar(name)
    local got = c[method](c, at, given)
    if got ~= expected then
      wrong[#wrong + 1] = name .. ":" .. method .. "(" .. at .. ", " .. tostring(given) .. ") is " .. tostring(got) .. ", not " .. tostring(expected)
    end
  end
end
${parts.join('\n')}\n`)
    const told = await run(['test', folder])
    assert.equal(told.code, 0, told.stdout.slice(0, 4000) + told.stderr.slice(0, 2000))
    assert.match(told.stdout, new RegExp(`^${parts.length} passed, 0 failed`, 'm'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
