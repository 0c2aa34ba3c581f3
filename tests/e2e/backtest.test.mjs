// What a candidate rule set would have done with what really came in.

import assert from 'node:assert/strict'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { stripe, telegram, whatsapp } from './support/providers.mjs'
import { project, run, System } from './support/system.mjs'

const phones = ['15550300', '15550301', '15550302']
let system

const answerd = (...args) => run([args[0], '--config', system.config, ...args.slice(1)], { env: system.environment() })

function candidate(name, edit) {
  const folder = join(system.folder, name)
  cpSync(join(project, 'rules'), folder, { recursive: true })
  edit(folder)
  return folder
}

const replaceIn = (folder, file, from, to) => {
  const text = readFileSync(join(folder, file), 'utf8')
  assert.ok(text.includes(from), `${file} has ${from}`)
  writeFileSync(join(folder, file), text.replace(from, to))
}

const json = async (...args) => {
  const result = await answerd('backtest', '--json', ...args)
  assert.ok(result.code === 0 || result.code === 1, result.stderr)
  return { ...JSON.parse(result.stdout), code: result.code, stderr: result.stderr }
}
const total = (report, rule, kind) => report.rules.find((entry) => entry.rule === rule && entry.kind === kind)

before(async () => {
  system = await System.start()
  for (const phone of phones) {
    await system.post('whatsapp', whatsapp.message(phone, 'Hello?', { id: `wamid.first.${phone}` }))
    await system.post('whatsapp', whatsapp.message(phone, 'Still there?', { id: `wamid.second.${phone}` }))
  }
  await system.post('telegram', telegram.message(4711, 'hi'))
  await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_backtest', phone: phones[0] }), { id: 'evt_backtest' }))
  await system.untilSql('all to be handled', `SELECT count(*) >= 8 AND NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox) FROM event`)
})
after(() => system?.stop())

test('the same rules make no difference, and the simulation does what was done live', async () => {
  const report = await json('--rules', join(project, 'rules'), '--since', '1h')
  assert.equal(report.before_rule_set, report.after_rule_set)
  for (const entry of report.rules) assert.equal(entry.added + entry.removed + entry.changed, 0, JSON.stringify(entry))
  const live = await system.rows(`SELECT rule, count(*)::int FROM delivery WHERE kind = 'message' GROUP BY rule ORDER BY rule`)
  assert.ok(live.length >= 2)
  for (const { rule, count } of live) assert.equal(total(report, rule, 'send').before, count, rule)
  assert.equal(report.kinds.open_conversation.before, await system.value(`SELECT count(*)::int FROM conversation`))
  assert.equal(report.events, await system.value(`SELECT count(*)::int FROM event WHERE source <> 'answerd' AND type <> 'message.status'`))
})

test('changed texts, removed and added effects are told apart, with examples', async () => {
  const rules = candidate('changed', (folder) => {
    replaceIn(folder, 'templates.lua', 'thanks for writing', 'thanks a lot')
    replaceIn(folder, 'payment_recovery.lua', 'template = "payment_failed"', 'template = "payment_reminder"')
    writeFileSync(join(folder, 'extra.lua'), `rule { name = "extra", on = { "message.received" },
      when = function(e) return e.message.text == "Hello?" end,
      run = function(e, fx) e.conversation:tag("hello") end }`)
  })
  const report = await json('--rules', rules, '--since', '1h')
  const acknowledgements = total(report, 'inbox', 'send')
  assert.equal(acknowledgements.changed, 4)
  assert.equal(acknowledgements.before, acknowledgements.after)
  const [example] = acknowledgements.examples
  assert.match(example.before, /thanks for writing/)
  assert.match(example.after, /thanks a lot/)
  assert.ok(await system.value('SELECT 1 FROM event WHERE id = $1', [example.event]))
  assert.ok(await system.value('SELECT 1 FROM contact WHERE id = $1', [example.contact]))
  assert.equal(total(report, 'extra', 'tag').added, phones.length)
  assert.equal(total(report, 'extra', 'tag').examples[0].name, 'hello')
  const outreach = total(report, 'payment-recovery', 'send')
  assert.equal(outreach.changed, 1)
  assert.equal(outreach.examples[0].former_name, 'template payment_failed')
})

test('nothing is written, unless it is wanted in tables', async () => {
  const rules = candidate('tables', (folder) => replaceIn(folder, 'templates.lua', 'thanks for writing', 'got it'))
  const tables = ['event', 'message', 'delivery', 'conversation', 'contact', 'trace', 'handling', 'work', 'outbox', 'timer', 'backtest_run', 'backtest_effect']
  const counts = () => system.rows(tables.map((name) => `SELECT '${name}' AS name, count(*)::int FROM ${name}`).join(' UNION ALL '))
  const before = await counts()
  await json('--rules', rules, '--since', '1h')
  assert.deepEqual(await counts(), before)
  const report = await json('--rules', rules, '--since', '1h', '--sql')
  const effects = await system.rows('SELECT * FROM backtest_effect WHERE run_id = $1 ORDER BY number', [report.run])
  assert.equal(effects.length, 4)
  for (const effect of effects) {
    assert.equal(effect.change, 'changed')
    assert.match(effect.after, /got it/)
  }
  const [kept] = await system.rows('SELECT * FROM backtest_run WHERE id = $1', [report.run])
  assert.equal(Number(kept.events), report.events)
  assert.equal((await system.rows(`SELECT 1 FROM message WHERE text LIKE '%got it%'`)).length, 0)
})

test('a budget that is exceeded fails with a line that says so', async () => {
  const rules = candidate('budget', (folder) =>
    writeFileSync(join(folder, 'chatty.lua'), `rule { name = "chatty", on = { "message.received" }, priority = -1,
      run = function(e, fx) e.conversation:send { text = "!" } end }`))
  const exceeded = await answerd('backtest', '--rules', rules, '--since', '1h', '--budget', 'sends:+5%', '--budget', 'tags:0')
  assert.equal(exceeded.code, 1)
  assert.match(exceeded.stderr, /budget exceeded: sends:\+5%, but there are \d+ instead of \d+ \(\+7\)/)
  assert.doesNotMatch(exceeded.stderr, /tags:0/)
  assert.match(exceeded.stdout, /chatty: added send 'text', event \d+, contact \d+/)
  const kept = await answerd('backtest', '--rules', rules, '--since', '1h', '--budget', 'sends:+500%')
  assert.equal(kept.code, 0, kept.stderr)
  const wrong = await answerd('backtest', '--rules', rules, '--budget', 'many')
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /HINT: write it like sends:\+5%/)
  const misspelt = await answerd('backtest', '--rules', rules, '--budget', 'sned:0')
  assert.equal(misspelt.code, 2, 'a budget of nothing would always be kept')
  assert.match(misspelt.stderr, /a report has no 'sned'; did you mean 'send'\?/)
})

test('a rule that fails on what really came in shows before customers meet it', async () => {
  const rules = candidate('failing', (folder) =>
    writeFileSync(join(folder, 'broken.lua'), `rule { name = "broken", on = { "message.received" },
      run = function(e, fx) local n = e.message.text + 1 end }`))
  const report = await json('--rules', rules, '--since', '1h', '--budget', 'failures:0')
  assert.equal(report.code, 1)
  assert.equal(total(report, 'broken', 'failure').added, 7)
  assert.match(total(report, 'broken', 'failure').examples[0].after, /broken\.lua:2/)
})

test('time passes in the simulation: reminders of the candidate are compared, up to --until', async () => {
  const rules = candidate('times', (folder) => replaceIn(folder, 'payment_recovery.lua', '"24h"', '"12h"'))
  const until = new Date(Date.now() + 100 * 3600 * 1000).toISOString()
  const report = await json('--rules', rules, '--since', '1h', '--until', until)
  const sends = total(report, 'payment-recovery', 'send')
  assert.equal(sends.before, sends.after)
  assert.equal(sends.before, 2)
  assert.equal(sends.changed, 1)
  const [example] = sends.examples
  assert.equal((Date.parse(example.before_at) - Date.parse(example.after_at)) / 3600000, 12)
})

test('a cron that only the candidate has fires at its times, and counts against budgets', async () => {
  const rules = candidate('crons', (folder) =>
    writeFileSync(join(folder, 'morning.lua'), `cron "morning" { schedule = "30 8 * * *" }
rule { name = "morning", on = "cron.morning", run = function(e, fx) fx:emit("page", { severity = "info", summary = "good morning" }, { contact = "whatsapp:${phones[0]}" }) end }`))
  const since = '2026-01-05T00:00:00Z', until = '2026-01-10T00:00:00Z'
  const args = ['--rules', rules, '--since', since, '--until', until]
  const report = await json(...args, '--budget', 'send:+4', '--sql')
  assert.equal(report.code, 1)
  assert.match(report.stderr, /budget exceeded: send:\+4, but there are 5 instead of 0 \(\+5\)/)
  assert.deepEqual(report.crons, [{ name: 'morning', before: 0, after: 5 }])
  assert.deepEqual(total(report, 'page', 'send').examples.map(({ event, cron, after_at }) => [event, cron, after_at.slice(0, 16)]),
    [[null, 'morning', '2026-01-05T08:30'], [null, 'morning', '2026-01-06T08:30'], [null, 'morning', '2026-01-07T08:30']])
  assert.deepEqual(await system.rows(`SELECT event_id, change, after_at::text FROM backtest_effect WHERE run_id = $1 AND kind = 'send' ORDER BY after_at DESC LIMIT 1`, [report.run]),
    [{ event_id: null, change: 'added', after_at: '2026-01-09 08:30:00+00' }])
  const cut = ({ run: _, stderr: __, code: ___, ...rest }) => rest
  for (const threads of ['1', '2', '3']) assert.deepEqual(cut(await json(...args, '--threads', threads)), cut(report))
  const told = await answerd('backtest', ...args, '--budget', 'send:+5')
  assert.equal(told.code, 0, told.stderr)
  assert.match(told.stdout, /^cron morning fired 0 times before, 5 times after$/m)
  assert.match(told.stdout, /page: added send 'template system_alert', cron morning\n/)
  const back = await json('--rules', join(project, 'rules'), '--against', rules, '--since', since, '--until', until)
  assert.deepEqual(back.crons, [{ name: 'morning', before: 5, after: 0 }])
  assert.equal(total(back, 'page', 'send').removed, 5)
})

test('the result is the same each time', async () => {
  const rules = candidate('again', (folder) => replaceIn(folder, 'templates.lua', 'thanks for writing', 'hm'))
  const until = new Date().toISOString()
  const args = ['backtest', '--json', '--rules', rules, '--since', '1h', '--until', until]
  const [one, two] = [await answerd(...args), await answerd(...args)]
  const cut = (text) => ({ ...JSON.parse(text), since: 0 })
  assert.deepEqual(cut(one.stdout), cut(two.stdout))
})

test('what is edited and not yet in force is compared with what is', async () => {
  const edited = join(system.rules, 'edited.lua')
  writeFileSync(edited, `rule { name = "edited", on = { "message.received" }, run = function(e, fx) e.conversation:tag("edited") end }`)
  try {
    const report = await json('--rules', system.rules, '--since', '1h')
    assert.notEqual(report.before_rule_set, report.after_rule_set)
    assert.equal(report.before_rule_set, await system.value('SELECT current_version FROM rule_pointer'))
    assert.ok(total(report, 'edited', 'tag').added > 0)
    const dry = await answerd('replay', '--dry', '--json', '--since', '1h')
    assert.equal(dry.code, 0, dry.stderr)
    assert.deepEqual(JSON.parse(dry.stdout).rules.filter(({ rule }) => rule === 'edited'), [], 'a replay goes by what is in force')
  } finally {
    rmSync(edited)
  }
})

test('a captured event is a rule test that passes, and tells of nobody', async () => {
  const folder = candidate('captured', () => {})
  const [failed] = await system.rows(`SELECT id FROM event WHERE key = 'evt_backtest'`)
  const captures = [
    await answerd('capture', failed.id),
    await answerd('capture', `wamid.second.${phones[1]}`),
    await answerd('capture', '--keep-text', `wamid.first.${phones[2]}`),
    await answerd('capture', String((await system.rows(`SELECT id FROM event WHERE type = 'conversation.opened' LIMIT 1`))[0].id)),
  ]
  for (const { code, stderr } of captures) assert.equal(code, 0, stderr)
  const text = captures.map(({ stdout }) => stdout).join('\n')
  for (const secret of [...phones, '4711', 'Lovelace', 'wamid', 'cus_', '@example.org']) assert.ok(!text.includes(secret), `${secret} in:\n${text}`)
  assert.match(captures[0].stdout, /t:event\("payment\.failed"/)
  assert.match(captures[0].stdout, /t:expect_sent \{ template = "payment_failed", channel = "whatsapp" \}/)
  assert.match(captures[2].stdout, /Hello\?/)
  assert.doesNotMatch(captures[1].stdout, /Still there\?/)
  writeFileSync(join(folder, 'captured_test.lua'), text)
  const tested = await run(['test', join(folder, 'captured_test.lua')])
  assert.equal(tested.code, 0, tested.stdout + tested.stderr + text)
  assert.match(tested.stdout, /4 passed, 0 failed/)
})
