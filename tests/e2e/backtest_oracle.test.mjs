// A backtest over a generated history, compared with a computation of its own: what two small rule sets do with each
// contact's events, worked out here from the recorded rows, effect by effect.
//
//   ANSWERD_ORACLE_EVENTS=1000000 ANSWERD=build/release/answerd node --test tests/e2e/backtest_oracle.test.mjs

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { program, project, run, System } from './support/system.mjs'

const events = Number(process.env.ANSWERD_ORACLE_EVENTS ?? 2000)
const contactsAtOnce = 1000

const shared = `
rule { name = "mark-refund", on = "message.received", when = function(e) return e.conversation and has(e.message.text, "money back") end,
  run = function(e, fx) e.conversation:tag("refund") end }
rule { name = "remember", on = "message.received", run = function(e, fx) e.contact:set("last", e.message.kind) end }
rule { name = "tell-failed", on = "payment.failed", when = function(e) return e.payment.attempt == 1 end,
  run = function(e, fx) fx:emit("failed", { invoice = e.payment.invoice }) end }
`
const rules = {
  before: {
    'shared.lua': shared,
    'open.lua': `rule { name = "open", on = "message.received", priority = 100, when = function(e) return e.message.kind == "text" end,
      run = function(e, fx) fx:open_conversation { topic = "support" } end }`,
    'note.lua': `rule { name = "note", on = "message.received", when = function(e) return e.conversation and has(e.message.text, "arrived", "order") end,
      run = function(e, fx) e.conversation:note("an order") end }`,
    'paid.lua': `rule { name = "tell-paid", on = "payment.succeeded", run = function(e, fx) fx:emit("paid", {}) end }`,
  },
  after: {
    'shared.lua': shared,
    'open.lua': `rule { name = "open", on = "message.received", priority = 100, when = function(e) return e.message.kind == "text" and not is(e.message.text, "hello", "thanks") end,
      run = function(e, fx) fx:open_conversation { topic = "support" } end }`,
    'note.lua': `rule { name = "note", on = "message.received", when = function(e) return e.conversation and has(e.message.text, "arrived", "order") end,
      run = function(e, fx) e.conversation:note(has(e.message.text, "arrived") and "not arrived" or "an order") end }`,
    'image.lua': `rule { name = "mark-image", on = "message.received", when = function(e) return e.conversation and e.message.kind == "image" end,
      run = function(e, fx) e.conversation:tag("image") end }`,
  },
}
// Only the text of one rule differs: most contacts' worlds stay one, and part late or never.
rules.noted = { ...rules.before, 'note.lua': rules.after['note.lua'] }

const simple = (text) => (text ?? '').toLowerCase().replace(/[^a-z0-9]+/g, ' ').trim()
const hasPhrase = (text, phrase) => ` ${simple(text)} `.includes(` ${phrase} `)

// One contact's life under one of the rule sets: a map from "event rule kind" to what was done.
function effectsOf(side, life) {
  const effects = new Map()
  const done = (event, rule, kind, what) => effects.set(`${event.id} ${rule} ${kind}`, what)
  let conversation = null // the contact's latest: { open, tags }
  const tag = (event, rule, name) => {
    if (!conversation.tags.has(name)) done(event, rule, 'tag', name)
    conversation.tags.add(name)
  }
  for (const event of life) {
    if (event.type === 'agent.action') {
      if (event.action === 'resolve' && conversation) conversation.open = false
    } else if (event.type === 'payment.failed' && event.attempt === 1) {
      done(event, 'tell-failed', 'emit', event.invoice)
    } else if (event.type === 'payment.succeeded' && side !== 'after') {
      done(event, 'tell-paid', 'emit', 'paid')
    } else if (event.type === 'message.received') {
      const opens = event.kind === 'text' && (side !== 'after' || !['hello', 'thanks'].includes(simple(event.text)))
      if (opens && !conversation?.open) {
        conversation = { open: true, tags: new Set() }
        done(event, 'open', 'open_conversation', 'support')
      }
      if (conversation?.open) {
        if (side === 'after' && event.kind === 'image') tag(event, 'mark-image', 'image')
        if (hasPhrase(event.text, 'money back')) tag(event, 'mark-refund', 'refund')
        const arrived = hasPhrase(event.text, 'arrived')
        if (arrived || hasPhrase(event.text, 'order')) done(event, 'note', 'note', side !== 'before' && arrived ? 'not arrived' : 'an order')
      }
      done(event, 'remember', 'contact_set', event.kind)
    }
  }
  return effects
}

function addDifferences(totals, left, right) {
  const total = (key) => {
    const [, rule, kind] = key.split(' ')
    const name = `${rule} ${kind}`
    if (!totals.has(name)) totals.set(name, { before: 0, after: 0, added: 0, removed: 0, changed: 0 })
    return totals.get(name)
  }
  for (const [key, what] of left) {
    total(key).before++
    if (!right.has(key)) total(key).removed++
    else if (right.get(key) !== what) total(key).changed++
  }
  for (const key of right.keys()) {
    total(key).after++
    if (!left.has(key)) total(key).added++
  }
}

async function oracle(candidate) {
  const totals = new Map()
  const [{ first, last }] = await system.rows('SELECT min(id)::bigint AS first, max(id)::bigint AS last FROM contact')
  for (let from = Number(first); from <= Number(last); from += contactsAtOnce) {
    const rows = await system.rows(
      `SELECT h.contact_id, e.id, e.type, e.doc->'message'->>'kind' AS kind, e.doc->'message'->>'text' AS text,
              e.doc->'effects'->0->>'do' AS action, (e.doc->'payment'->>'attempt')::int AS attempt, e.doc->'payment'->>'invoice' AS invoice
         FROM handling AS h JOIN event AS e ON e.id = h.event_id AND e.received_at = h.handled_at
        WHERE h.contact_id >= $1 AND h.contact_id < $2 AND e.type <> 'message.status' ORDER BY h.contact_id, e.received_at, e.id`,
      [from, from + contactsAtOnce])
    for (let begin = 0; begin < rows.length;) {
      let end = begin
      while (end < rows.length && rows[end].contact_id === rows[begin].contact_id) end++
      const life = rows.slice(begin, end)
      addDifferences(totals, effectsOf('before', life), effectsOf(candidate, life))
      begin = end
    }
  }
  return totals
}

let system
before(async () => {
  system = await System.start({ rules: null, serve: false })
  execFileSync(join(project, 'tests/bench/record_history'), [String(events)], { env: { ...process.env, ...system.environment() } })
  for (const [side, files] of Object.entries(rules)) for (const [name, text] of Object.entries(files)) system.writeRule(join('..', side, name), text)
})
after(() => system?.stop())

async function backtest(candidate, ...more) {
  const began = Date.now()
  const result = await run(['backtest', '--config', system.config, '--json', '--rules', join(system.folder, candidate), '--against', join(system.folder, 'before'),
    '--since', '8d', '--until', until, ...more], { env: system.environment() })
  assert.equal(result.code, 0, result.stderr)
  return { ...JSON.parse(result.stdout), seconds: (Date.now() - began) / 1000 }
}
const until = new Date(Date.now() + 60000).toISOString()

async function compare(t, candidate, changes) {
  const report = await backtest(candidate)
  assert.equal(report.events, events)
  assert.equal(report.kinds.failure, undefined, JSON.stringify(report.rules.filter(({ kind }) => kind === 'failure')))
  const expected = await oracle(candidate)
  const found = new Map(report.rules.map(({ rule, kind, before, after, added, removed, changed }) => [`${rule} ${kind}`, { before, after, added, removed, changed }]))
  for (const [name, total] of expected) assert.deepEqual(found.get(name), total, name)
  const ours = new Set([...expected.keys()].map((name) => name.split(' ')[0]))
  for (const name of found.keys()) assert.ok(!ours.has(name.split(' ')[0]) || expected.has(name), `${name} was not expected`)
  for (const change of changes) assert.ok([...expected.values()].some((total) => total[change] > 0), change)
  t.diagnostic(`${events} events in ${report.seconds} s: ${JSON.stringify(Object.fromEntries(expected))}`)
}

test(`the differences of ${events} events are those that were worked out one by one`, (t) => compare(t, 'after', ['added', 'removed', 'changed']))
test('so are they where only one rule is another', (t) => compare(t, 'noted', ['changed']))

test('the result does not depend on the number of threads', async () => {
  const cut = ({ seconds, since, ...rest }) => rest
  const [one, several] = [await backtest('after', '--threads', '1', '--limit-examples', '50'), await backtest('after', '--threads', '3', '--limit-examples', '50')]
  assert.deepEqual(cut(several), cut(one))
})

test('a terminal is told how much of it is done', async () => {
  const words = [program, 'backtest', '--config', system.config, '--rules', join(system.folder, 'after'), '--against', join(system.folder, 'before'), '--since', '8d']
  const command = words.map((word) => `'${word}'`).join(' ')
  const shown = await run(['--quiet', '--return', '--command', command, '/dev/null'], { program: 'script', env: system.environment() })
  assert.equal(shown.code, 0, shown.stdout + shown.stderr)
  assert.match(shown.stdout, /\[#*\.+\] +[1-9]\d* % {2}\d+ events, \d+\/s/)
})
