// Which rules are in force: reload, promote and rollback on two nodes, what fails leaves the running rules in place, and
// crons fire once.

import assert from 'node:assert/strict'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System, freePort, run, until } from './support/system.mjs'

const says = (text) => `
rule { name = "answer", doc = "Answers.", on = { "message.received" }, run = function(e, fx)
  local c = fx:open_conversation { topic = "support" }
  c:send { text = "${text}" }
end }
`
const tested = (text) => `
test("answers", function(t)
  t:message { text = "hello", from = "whatsapp:15550000" }
  t:expect_sent { text = "${text}" }
end)
`

let system
let nodes
let numbers = 0
const command = (...args) => run([args[0], '--config', system.config, ...args.slice(1)], { env: system.environment(), cwd: system.folder })
const versionInForce = () => system.value('SELECT current_version FROM rule_pointer')

// Says hello on every node, and gives what is answered.
async function answers() {
  const people = nodes.map(() => `1555610${String(++numbers).padStart(4, '0')}`)
  await Promise.all(people.map((person, index) => system.post('whatsapp', whatsapp.message(person, 'hello'), nodes[index].url)))
  return Promise.all(people.map((person) => system.untilSql(`an answer to ${person}`,
    `SELECT text FROM message WHERE direction = 'out' AND identity = $1`, [`whatsapp:${person}`])))
}

before(async () => {
  system = await System.start({ rules: null, files: { 'answer.lua': says('one'), 'answer_test.lua': tested('one') } })
  const port = await freePort()
  const second = await system.serve({ port, adminPort: await freePort() })
  second.url = `http://127.0.0.1:${port}`
  nodes = [{ url: system.url, node: system.nodes[0] }, { url: second.url, node: second }]
})
after(() => system?.stop())

test('the first start puts the directory in force and keeps its files', async () => {
  assert.deepEqual(await answers(), ['one', 'one'])
  const [change] = await system.rows('SELECT * FROM rule_changes')
  assert.equal(change.action, 'start')
  assert.match(change.changed_by, /^serve@/)
  assert.deepEqual(await system.rows(`SELECT name, convert_from(body, 'UTF8') AS body FROM rule_file`), [{ name: 'answer.lua', body: says('one') }])
})

test('answerd reload swaps all nodes: nothing that comes after it is handled by the old rules', async () => {
  system.writeRule('answer.lua', says('two'))
  system.writeRule('answer_test.lua', tested('two'))
  const done = await command('reload', '--by', 'ann')
  assert.equal(done.code, 0, done.stderr)
  assert.match(done.stdout, /^version [0-9a-f]{12} is in force: 1 rule, 1 test passed; before it was [0-9a-f]{12}\n$/)
  assert.deepEqual(await answers(), ['two', 'two'])
  const version = await versionInForce()
  const late = await system.value(`SELECT count(*)::int FROM handling AS h JOIN event AS e ON e.id = h.event_id
    WHERE e.received_at > (SELECT changed_at FROM rule_pointer) AND h.rule_set <> $1`, [version])
  assert.equal(late, 0)
  assert.equal(await system.value('SELECT rule_set FROM trace ORDER BY handled_at DESC LIMIT 1'), version)
  assert.equal(await system.value('SELECT changed_by FROM rule_pointer'), 'ann')
})

test('rules that do not load change nothing and are named, with exit 1', async () => {
  const was = await versionInForce()
  system.writeRule('answer.lua', 'rule { name = "answer", on = { "message.recieved" }, run = function() end }')
  const refused = await command('reload')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /answer\.lua:1: error: .*message\.recieved/)
  assert.match(refused.stderr, /nothing was changed/)
  assert.equal(await versionInForce(), was)
  assert.deepEqual(await answers(), ['two', 'two'])
})

test('neither do rules whose own tests fail', async () => {
  const was = await versionInForce()
  system.writeRule('answer.lua', says('three'))
  const refused = await command('reload')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /FAIL .*answer_test\.lua:2: answers/)
  assert.equal(await versionInForce(), was)
  nodes[0].node.kill('SIGHUP')
  await until('the log to say why', () => nodes[0].node.log.includes('a test of the rules fails'))
  assert.deepEqual(await answers(), ['two', 'two'])
})

test('what answerd check calls an error is refused, what it warns of is told', async () => {
  const was = await versionInForce()
  system.writeRule('answer_test.lua', tested('three'))
  system.writeRule('answer.lua', says('three') + `
rule { name = "typo", on = { "payment.failed" }, run = function(e, fx)
  if e.payment.invoce then return end
end }`)
  const refused = await command('reload')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /answer\.lua:8: error: 'e\.payment' has no field 'invoce'; did you mean 'invoice'/)
  assert.match(refused.stderr, /answerd check finds 1 error in the rules/)
  assert.equal(await versionInForce(), was)
  const before = nodes[0].node.log.length
  nodes[0].node.kill('SIGHUP')
  await until('the log to say why', () => /rules are wrong, the running ones stay.*answerd check finds 1 error/.test(nodes[0].node.log.slice(before)))
  assert.equal(await versionInForce(), was)

  system.writeRule('answer.lua', says('two') + `
rule { name = "loop", on = { "conversation.tagged" }, run = function(e, fx) e.conversation:tag("seen") end }`)
  system.writeRule('answer_test.lua', tested('two'))
  const done = await command('reload')
  assert.equal(done.code, 0, done.stderr)
  assert.match(done.stderr, /answer\.lua:7: warning: rule 'loop' tags the conversation that was just tagged/)
  assert.match(done.stdout, /2 rules, 1 test passed/)
  system.writeRule('answer.lua', says('three'))
})

test('SIGHUP on one node swaps all of them', async () => {
  system.writeRule('answer_test.lua', tested('three'))
  nodes[1].node.kill('SIGHUP')
  await system.untilSql('the change', `SELECT count(*) = 4 FROM rule_change`)
  assert.deepEqual(await answers(), ['three', 'three'])
})

test('rollback returns at once, needs no files, and outlives a restart', async () => {
  const three = await versionInForce()
  const back = await command('rollback', '--by', 'ben')
  assert.equal(back.code, 0, back.stderr)
  assert.deepEqual(await answers(), ['two', 'two'])
  assert.deepEqual(await system.rows('SELECT action, changed_by, previous_version FROM rule_changes ORDER BY change_id DESC LIMIT 1'),
    [{ action: 'rollback', changed_by: 'ben', previous_version: three }])
  await system.stopNode(nodes[0].node)
  nodes[0].node = await system.serve()
  assert.match(nodes[0].node.log, /the rules in force are not those of the directory/)
  assert.deepEqual(await answers(), ['two', 'two'])
  assert.equal((await command('rollback')).code, 0)
  assert.deepEqual(await answers(), ['three', 'three'])
})

test('a rollback to a version by name, and to one that nobody knows', async () => {
  const first = await system.value(`SELECT current_version FROM rule_change ORDER BY id LIMIT 1`)
  const done = await command('rollback', first)
  assert.equal(done.code, 0, done.stderr)
  assert.deepEqual(await answers(), ['one', 'one'])
  const refused = await command('rollback', 'abcdefabcdef')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /version abcdefabcdef are not kept/)
  const listed = await command('versions')
  assert.match(listed.stdout, new RegExp(`${first}  current`))
})

test('at a restart, files that have changed go into force', async () => {
  system.writeRule('answer.lua', says('four'))
  system.writeRule('answer_test.lua', tested('four'))
  await system.stopNode(nodes[1].node)
  const url = new URL(nodes[1].url)
  nodes[1].node = await system.serve({ port: Number(url.port), adminPort: await freePort() })
  assert.deepEqual(await answers(), ['four', 'four'])
  assert.equal(await system.value('SELECT action FROM rule_change ORDER BY id DESC LIMIT 1'), 'start')
})

test('files that a rule set was loaded from are kept byte for byte', async () => {
  writeFileSync(join(system.rules, 'bytes.lua'), Buffer.concat([Buffer.from('-- '), Buffer.from([0xff, 0xfe, 0x00, 0x80]), Buffer.from('\n')]))
  const done = await command('reload')
  assert.equal(done.code, 0, done.stderr)
  assert.equal(await system.value(`SELECT encode(body, 'hex') FROM rule_file WHERE name = 'bytes.lua'`), '2d2d20fffe00800a')
  assert.deepEqual(await answers(), ['four', 'four'])
})

test('a reload warns of timers that no rule would take', async () => {
  await system.rows(`INSERT INTO timer (id, name, due_at, lane) VALUES (1, 'remind', now() + interval '1 day', 1)`)
  system.writeRule('more.lua', 'rule { name = "more", doc = "More.", on = { "custom.more" }, run = function(e, fx) end }')
  const done = await command('reload')
  assert.equal(done.code, 0, done.stderr)
  assert.match(done.stderr, /warning: 1 timer 'remind' waits, and no rule of this version takes timer\.remind/)
  await system.rows('DELETE FROM timer')
})

test('a cron fires once on all nodes; missed times are skipped or made up for as it says', async () => {
  system.writeRule('crons.lua', `
cron "hourly" { every = "1h" }
cron "caught_up" { every = "1h", missed = "run_once" }
cron "skipped" { every = "1h", missed = "skip" }
rule { name = "crons", doc = "Counts.", on = { "cron.*" }, run = function(e, fx) fx:emit("counted", { name = e.type }) end }
`)
  const done = await command('reload')
  assert.equal(done.code, 0, done.stderr)
  await system.untilSql('the crons', `SELECT count(*) = 3 FROM cron_list`)
  await system.rows(`UPDATE cron SET next_at = now() - CASE name WHEN 'hourly' THEN interval '1 second' ELSE interval '5 hours' END`)
  await system.untilSql('all to move on', `SELECT count(*) = 3 FROM cron WHERE next_at > now()`)
  await system.untilSql('the events', `SELECT count(*) >= 2 FROM event WHERE type = 'custom.counted'`)
  await system.untilSql('the work', 'SELECT NOT EXISTS (SELECT FROM work)')
  assert.deepEqual(await system.rows(`SELECT type, count(*)::int FROM event WHERE type LIKE 'cron.%' GROUP BY 1 ORDER BY 1`),
    [{ type: 'cron.caught_up', count: 1 }, { type: 'cron.hourly', count: 1 }])
  assert.equal(await system.value(`SELECT last_at IS NULL FROM cron WHERE name = 'skipped'`), true)
})

test('watched files are reloaded by themselves', async () => {
  const watching = await System.start({ rules: null, files: { 'answer.lua': says('one') }, ruleSettings: 'watch = true' })
  try {
    watching.writeRule('answer.lua', 'this is no Lua')
    await until('the log to say why', () => watching.nodes[0].log.includes('rules are wrong, the running ones stay'))
    watching.writeRule('answer.lua', says('two'))
    await watching.untilSql('the change', `SELECT count(*) = 2 FROM rule_change`)
    await watching.post('whatsapp', whatsapp.message('15556200001', 'hello'))
    await watching.untilSql('the answer', `SELECT EXISTS (SELECT FROM message WHERE text = 'two')`)
  } finally {
    await watching.stop()
  }
})

test('a node that comes without its rules directory changed follows what is in force', async () => {
  const other = join(system.folder, 'other rules')
  cpSync(system.rules, other, { recursive: true })
  const inForce = await versionInForce()
  await system.stopNode(nodes[1].node)
  const url = new URL(nodes[1].url)
  nodes[1].node = await system.serve({ port: Number(url.port), adminPort: await freePort(), args: ['--rules', other] })
  assert.deepEqual(await answers(), ['four', 'four'])
  assert.equal(await versionInForce(), inForce)
})
