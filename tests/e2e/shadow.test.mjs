// Shadow rules: tried on live events, recorded, compared, never applied; promoted and rolled back. What goes wrong in them
// is nobody else's business.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System, run, until } from './support/system.mjs'

const live = `
rule { name = "answer", doc = "Answers.", on = { "message.received" }, priority = 2, run = function(e, fx)
  local c = fx:open_conversation { topic = "support" }
  c:tag("seen")
  c:send { text = "live" }
end }
rule { name = "gone", doc = "Only in force.", on = { "message.received" }, run = function(e, fx) fx:emit("noise", {}) end }
rule { name = "same", doc = "In both.", on = { "message.received" }, run = function(e, fx) e.conversation:note("noted") end }
`
const next = `
rule { name = "answer", doc = "Answers.", on = { "message.received" }, priority = 2, run = function(e, fx)
  local c = fx:open_conversation { topic = "support" }
  c:tag("seen")
  c:send { text = "shadow" }
  c:assign("ann")
end }
rule { name = "new", doc = "Only in the shadow.", on = { "message.received" }, run = function(e, fx)
  fx:emit("history", { messages = #e.conversation:history(20) })
end }
rule { name = "same", doc = "In both.", on = { "message.received" }, run = function(e, fx) e.conversation:note("noted") end }
`

let system
let shadowFolder
const command = (...args) => run([args[0], '--config', system.config, ...args.slice(1)], { env: system.environment(), cwd: system.folder })
const settled = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')
const shadowed = (count) => system.untilSql('the shadow', 'SELECT count(*) >= $1 FROM shadow_run', [count])

function writeShadow(files) {
  mkdirSync(shadowFolder, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(shadowFolder, name), text)
}

before(async () => {
  system = await System.start({ rules: null, files: { 'live.lua': live } })
  shadowFolder = join(system.folder, 'rules-next')
})
after(() => system?.stop())

test('what the shadow rules would do is recorded and never done', async () => {
  writeShadow({ 'next.lua': next })
  const done = await command('shadow', shadowFolder, '--by', 'ann')
  assert.equal(done.code, 0, done.stderr)
  assert.match(done.stdout, /is the shadow: 3 rules/)
  assert.match((await command('versions')).stdout, /shadow +3 rules/)
  assert.equal((await system.post('whatsapp', whatsapp.message('15557000001', 'hello'))).status, 200)
  await shadowed(1)
  await settled()
  const texts = await system.rows(`SELECT text FROM message WHERE direction = 'out'`)
  assert.deepEqual(texts, [{ text: 'live' }])
  assert.equal(await system.value('SELECT assignee FROM conversation'), null)
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE type = 'custom.history'`), 0)
  assert.equal(await system.value(`SELECT count(*)::int FROM contact`), 1)
})

test('shadow_diff says what was added, removed and changed, by event and rule', async () => {
  const diff = await system.rows(`SELECT rule, live_verdict, shadow_verdict, same::int, added, removed, changed FROM shadow_diff
    WHERE event_type = 'message.received' ORDER BY rule`)
  assert.deepEqual(diff.map((row) => row.rule), ['answer', 'gone', 'new'])
  const [answer, gone, fresh] = diff
  assert.equal(answer.same, 2)
  assert.deepEqual(answer.added.map((effect) => [effect.do, effect.assignee]), [['assign', 'ann']])
  assert.deepEqual(answer.removed, [])
  assert.equal(answer.changed.length, 1)
  assert.equal(answer.changed[0].live.text, 'live')
  assert.equal(answer.changed[0].shadow.text, 'shadow')
  assert.equal(gone.shadow_verdict, null)
  assert.deepEqual(gone.removed.map((effect) => effect.do), ['emit'])
  assert.equal(fresh.live_verdict, null)
  assert.deepEqual(fresh.added.map((effect) => effect.name), ['history'])
  const [counts] = await system.rows(`SELECT events::int, differing::int, added::int, changed::int, same::int FROM shadow_summary WHERE rule = 'answer'`)
  assert.deepEqual(counts, { events: 1, differing: 1, added: 1, changed: 1, same: 2 })
})

test('shadow rules see the facts as they were before the live rules changed them', async () => {
  for (let number = 2; number <= 4; number++) {
    await system.post('whatsapp', whatsapp.message('15557000001', `hello ${number}`))
    await settled()
    await until('the shadow', async () => Number(await system.value(`SELECT count(*) FROM shadow_trace WHERE rule = 'new'`)) === number)
  }
  // Each event leaves three messages behind: the customer's, the live answer and the note. Of its own event the shadow sees
  // the customer's message and what the shadow's rules before it answered, and nothing that the live rules did.
  const seen = await system.rows(`SELECT (effects #>> '{0,body,messages}')::int AS messages FROM shadow_trace WHERE rule = 'new' ORDER BY event_id`)
  assert.deepEqual(seen.map((row) => row.messages), [2, 5, 8, 11])
})

test('promote puts the shadow in force at once, rollback returns', async () => {
  const shadow = await system.value('SELECT shadow_version FROM rule_pointer')
  const promoted = await command('promote', '--by', 'ann')
  assert.equal(promoted.code, 0, promoted.stderr)
  await system.post('whatsapp', whatsapp.message('15557000002', 'hello'))
  await system.untilSql('the answer', `SELECT EXISTS (SELECT FROM message WHERE text = 'shadow')`)
  assert.equal(await system.value(`SELECT rule_set FROM trace WHERE rule = 'answer' ORDER BY handled_at DESC LIMIT 1`), shadow)
  assert.deepEqual(await system.rows('SELECT action, changed_by, current_version, shadow_version FROM rule_changes ORDER BY change_id DESC LIMIT 1'),
    [{ action: 'promote', changed_by: 'ann', current_version: shadow, shadow_version: null }])
  assert.equal((await command('promote')).code, 1)
  assert.equal((await command('rollback')).code, 0)
  await system.post('whatsapp', whatsapp.message('15557000003', 'hello'))
  await system.untilSql('the old answer', `SELECT EXISTS (SELECT FROM message WHERE text = 'live' AND identity = 'whatsapp:15557000003')`)
  await settled()
})

test('a shadow that fails, hangs and eats memory changes nothing for the live rules', async () => {
  writeShadow({ 'next.lua': `
rule { name = "answer", doc = "Fails.", on = { "message.received" }, priority = 2, run = function(e, fx) error("no") end }
rule { name = "hangs", doc = "Hangs.", on = { "message.received" }, run = function(e, fx) while true do end end }
rule { name = "eats", doc = "Eats.", on = { "message.received" }, run = function(e, fx)
  local t = {} for i = 1, 1e9 do t[i] = string.rep("x", 1000) .. i end end }
rule { name = "asks", doc = "Asks too much.", on = { "message.received" }, run = function(e, fx)
  for i = 1, 1000 do fx:emit("x", {}) end end }
` })
  const done = await command('shadow', shadowFolder)
  assert.equal(done.code, 0, done.stderr)
  const people = Array.from({ length: 40 }, (_, number) => `1555710${String(number).padStart(4, '0')}`)
  await Promise.all(people.map((person) => system.post('whatsapp', whatsapp.message(person, 'hello'))))
  await system.untilSql('all answers', `SELECT count(*) = 40 FROM message WHERE text = 'live' AND identity LIKE 'whatsapp:1555710%'`)
  await settled()
  await system.untilSql('verdicts', `SELECT count(DISTINCT rule) = 4 FROM shadow_trace WHERE verdict IN ('failed', 'over_budget')`)
  assert.deepEqual(await system.rows(`SELECT DISTINCT rule, verdict FROM trace AS t JOIN event AS e ON e.id = t.event_id
    WHERE e.doc #>> '{contact,identities,0}' LIKE 'whatsapp:1555710%' AND t.verdict <> 'ran' AND t.rule NOT LIKE 'answerd.%'`), [])
  assert.equal(await system.value(`SELECT count(*)::int FROM rule_health WHERE failures_in_row > 0`), 0)
  const metrics = await (await fetch(`${system.admin}/metrics`)).text()
  assert.match(metrics, /answerd_shadow_seconds_total [0-9.]+/)
})

test('the live rules keep most of the time while a shadow hangs', async () => {
  const shadowSeconds = async () => Number(/answerd_shadow_seconds_total ([0-9.]+)/.exec(await (await fetch(`${system.admin}/metrics`)).text())[1])
  const people = Array.from({ length: 200 }, (_, number) => `1555720${String(number).padStart(4, '0')}`)
  const before = await shadowSeconds()
  const began = Date.now()
  await Promise.all(people.map((person) => system.post('whatsapp', whatsapp.message(person, 'hello'))))
  await system.untilSql('all answers', `SELECT count(*) = 200 FROM message WHERE text = 'live' AND identity LIKE 'whatsapp:1555720%'`)
  await settled()
  const took = (Date.now() - began) / 1000
  const used = (await shadowSeconds()) - before
  // A quarter of the engine's time, and what was saved up; a last event may go beyond it, on a machine that stands still by
  // some seconds.
  assert.ok(used < took / 4 + 0.5 + 4, `the shadow had ${used} s of ${took} s`)
  const skipped = Number(/answerd_shadow_skipped_total ([0-9.]+)/.exec(await (await fetch(`${system.admin}/metrics`)).text())[1])
  const tried = await system.value(`SELECT count(*)::int FROM shadow_run`)
  assert.ok(skipped > 0 || tried > 200, `skipped ${skipped}, tried ${tried}`)
})

test('a shadow whose files are wrong is refused; --off ends it', async () => {
  writeShadow({ 'next.lua': 'rule {' })
  const refused = await command('shadow', shadowFolder)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /next\.lua:1/)
  const ended = await command('shadow', '--off')
  assert.equal(ended.code, 0, ended.stderr)
  await settled()
  await system.post('whatsapp', whatsapp.message('15557300001', 'hello'))
  await system.untilSql('the answer', `SELECT EXISTS (SELECT FROM message WHERE text = 'live' AND identity = 'whatsapp:15557300001')`)
  assert.equal(await system.value(`SELECT count(*)::int FROM shadow_run AS r JOIN event AS e ON e.id = r.event_id WHERE e.doc::text LIKE '%15557300001%'`), 0)
})

test('erasing a contact empties what the shadow recorded of them', async () => {
  const contact = await system.value(`SELECT contact_id FROM identity WHERE identity = 'whatsapp:15557000001'`)
  await system.rows('SELECT erase_contact($1)', [contact])
  assert.equal(await system.value(`SELECT count(*)::int FROM shadow_trace AS s JOIN handling AS h ON h.event_id = s.event_id
    WHERE h.contact_id = $1 AND (s.effects <> '[]' OR s.error IS NOT NULL)`, [contact]), 0)
})

test('a shadow directory of the configuration is tried from the start, on a share of the events', async () => {
  const other = await System.start({ rules: null, files: { 'live.lua': live, '../rules-next/next.lua': next }, ruleSettings: 'shadow = "rules-next", shadow_percent = 50' })
  try {
    const people = Array.from({ length: 60 }, (_, number) => `1555740${String(number).padStart(4, '0')}`)
    await Promise.all(people.map((person) => other.post('whatsapp', whatsapp.message(person, 'hello'))))
    await other.untilSql('all work to be done', `SELECT NOT EXISTS (SELECT FROM work) AND (SELECT count(*) FROM message WHERE text = 'live') = 60`)
    const chosen = await other.value(`SELECT count(*)::int FROM shadow_run AS r JOIN event AS e ON e.id = r.event_id WHERE e.type = 'message.received'`)
    assert.ok(chosen > 10 && chosen < 50, `${chosen} of 60`)
    assert.equal(await other.value(`SELECT count(*)::int FROM message WHERE text = 'shadow'`), 0)
  } finally {
    await other.stop()
  }
})
