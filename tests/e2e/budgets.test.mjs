// Budgets of sends: what goes beyond is held, exactly, on any number of nodes; people release or drop it. And quarantine: a
// rule that fails rests, is tried once, and comes back.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, telegram } from './support/providers.mjs'
import { System, freePort, run, until } from './support/system.mjs'

const rules = `
rule { name = "hourly", doc = "At most 7 an hour.", on = { "message.received" }, budget = { sends_per_hour = 7, sends_per_contact_per_day = 0 },
  when = function(e) return has(e.message.text, "hourly") end,
  run = function(e, fx) fx:open_conversation { topic = "hourly" }:send { text = "hourly to " .. e.contact.name } end }

rule { name = "contact", doc = "At most 3 to one contact.", on = { "message.received" }, budget = { sends_per_contact_per_day = 3 },
  when = function(e) return has(e.message.text, "contact") end,
  run = function(e, fx)
    local c = fx:open_conversation { topic = "contact" }
    for i = 1, 5 do c:send { text = e.message.text .. " " .. i } end
  end }

rule { name = "burst", doc = "At most 4 a minute.", on = { "message.received" }, budget = { sends_per_minute = 4 },
  when = function(e) return has(e.message.text, "burst") end,
  run = function(e, fx)
    local c = fx:open_conversation { topic = "burst" }
    c:send { text = "burst " .. e.contact.name }
  end }

rule { name = "standard", doc = "As configured.", on = { "message.received" },
  when = function(e) return has(e.message.text, "standard") end,
  run = function(e, fx)
    local c = fx:open_conversation { topic = "standard" }
    for i = 1, 9 do c:send { text = "standard " .. i } end
  end }

rule { name = "free", doc = "Any number.", on = { "message.received" }, budget = { sends_per_contact_per_day = 0 },
  when = function(e) return has(e.message.text, "free") end,
  run = function(e, fx)
    local c = fx:open_conversation { topic = "free" }
    for i = 1, 9 do c:send { text = "free " .. i } end
  end }

rule { name = "ladder", doc = "Its outreach is held.", on = { "payment.failed" }, budget = { sends_per_hour = 1 },
  run = function(e, fx)
    fx:outreach { topic = "billing", reference = e.payment.invoice, goal = "payment.succeeded",
      steps = { { after = "0s", text = "please pay " .. e.payment.invoice } } }
  end }

rule { name = "fails", doc = "Fails for as long as it is told to.", on = { "message.received" },
  when = function(e) return has(e.message.text, "fails") or has(e.message.text, "works") end,
  run = function(e, fx)
    if has(e.message.text, "fails") then error("as it was told") end
    fx:emit("worked", {})
  end }

rule { name = "alerts", doc = "Hears of trouble.", on = { "custom.system_alert" },
  run = function(e, fx) fx:emit("heard", { problem = e.body.problem, rule = e.body.rule, summary = e.body.summary }) end }
`
const has = 'local function has(text, word) return text and text:find(word, 1, true) ~= nil end\n'

let system
let urls
let people = 700000
const command = (...args) => run([args[0], '--config', system.config, ...args.slice(1)], { env: system.environment(), cwd: system.folder })
const settled = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')
const say = (text, { from = ++people, name = 'Person ' + from, url = urls[0] } = {}) => system.post('telegram', telegram.message(from, text, { name }), url)
const states = (rule) => system.rows('SELECT state, count(*)::int FROM delivery_log WHERE rule = $1 GROUP BY 1 ORDER BY 1', [rule])

before(async () => {
  system = await System.start({
    rules: null, files: { 'budgets.lua': has + rules },
    ruleSettings: 'sends_per_contact_per_day = 6, quarantine_after = 3, quarantine = "2s", quarantine_longest = "7s"',
  })
  const port = await freePort()
  await system.serve({ port, adminPort: await freePort() })
  urls = [system.url, `http://127.0.0.1:${port}`]
})
after(() => system?.stop())

test('sends beyond the hourly budget of a rule are held, exactly, with two nodes at work', async () => {
  await Promise.all(Array.from({ length: 30 }, (_, number) => say('hourly', { url: urls[number % 2] })))
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM delivery WHERE rule = 'hourly'`), 30)
  assert.equal(await system.value(`SELECT count(*)::int FROM held_delivery WHERE rule = 'hourly'`), 23)
  await system.untilSql('the seven', `SELECT count(*) = 7 FROM delivery WHERE rule = 'hourly' AND state = 'sent'`)
  assert.deepEqual(await states('hourly'), [{ state: 'held', count: 23 }, { state: 'sent', count: 7 }])
  assert.deepEqual(await system.rows(`SELECT DISTINCT reason, error_code, message_state FROM delivery_log WHERE rule = 'hourly' AND state = 'held'`),
    [{ reason: 'more than 7 messages of this rule in an hour', error_code: 'sends_per_hour', message_state: 'queued' }])
})

test('people hear of it: an event that rules can answer to, once', async () => {
  await system.untilSql('the alert', `SELECT EXISTS (SELECT FROM event WHERE type = 'custom.heard' AND doc #>> '{body,rule}' = 'hourly')`)
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE type = 'custom.system_alert' AND doc #>> '{body,rule}' = 'hourly'`), 1)
})

test('held list shows them; release lets them go in order; drop gives them up', async () => {
  const listed = await command('held', 'list', '--rule', 'hourly')
  assert.equal(listed.code, 0, listed.stderr)
  assert.match(listed.stdout, /hourly to Person/)
  assert.match(listed.stdout, /23 of rule hourly: more than 7 messages of this rule in an hour/)
  const ids = (await system.rows(`SELECT delivery_id FROM held_list WHERE rule = 'hourly' ORDER BY position`)).map((row) => row.delivery_id)
  const one = await command('held', 'release', ids[3])
  assert.equal(one.stdout, '1 released\n')
  await system.untilSql('the one', `SELECT state = 'sent' FROM delivery WHERE id = $1`, [ids[3]])
  const dropped = await command('held', 'drop', ids[4], ids[5])
  assert.equal(dropped.stdout, '2 dropped\n')
  assert.deepEqual(await system.rows(`SELECT d.state, m.state AS message, d.reason FROM delivery AS d JOIN message AS m ON m.id = d.message_id WHERE d.id = $1`, [ids[4]]),
    [{ state: 'canceled', message: 'canceled', reason: 'given up by a person' }])
  const rest = await command('held', 'release', '--rule', 'hourly')
  assert.equal(rest.stdout, '20 released\n')
  await system.untilSql('the others', `SELECT count(*) = 28 FROM delivery WHERE rule = 'hourly' AND state = 'sent'`)
  assert.deepEqual(await system.rows(`SELECT DISTINCT m.reason FROM message AS m JOIN delivery AS d ON d.message_id = m.id WHERE d.state = 'sent' AND d.rule = 'hourly'`), [{ reason: null }])
  assert.equal((await command('held', 'release', '--rule', 'hourly')).code, 1)
  assert.equal((await command('held', 'release')).code, 2)
})

test('the budget of a contact counts across events and nodes; order is kept on release', async () => {
  const from = ++people
  await say('contact a', { from })
  await say('contact b', { from, url: urls[1] })
  await settled()
  assert.deepEqual((await system.rows(`SELECT text FROM held_list WHERE rule = 'contact' ORDER BY position`)).map((row) => row.text),
    ['contact a 4', 'contact a 5', 'contact b 1', 'contact b 2', 'contact b 3', 'contact b 4', 'contact b 5'])
  await say('contact c')
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM held_delivery WHERE rule = 'contact'`), 9, 'another contact has a budget of their own')
  const done = await command('held', 'release', '--all')
  assert.equal(done.stdout, '9 released\n')
  await system.untilSql('all to be sent', `SELECT count(*) = 15 FROM delivery WHERE rule = 'contact' AND state = 'sent'`, [], 60000)
  const texts = (await system.rows(`SELECT m.text FROM delivery AS d JOIN message AS m ON m.id = d.message_id WHERE d.rule = 'contact' AND d.identity = $1
    ORDER BY d.last_attempt_at`, [`telegram:${from}`])).map((row) => row.text)
  assert.deepEqual(texts, ['contact a 1', 'contact a 2', 'contact a 3', 'contact a 4', 'contact a 5', 'contact b 1', 'contact b 2', 'contact b 3', 'contact b 4', 'contact b 5'])
})

test('a burst is held, and the minute after it is free', async () => {
  await Promise.all(Array.from({ length: 10 }, (_, number) => say('burst', { url: urls[number % 2] })))
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM held_delivery WHERE rule = 'burst' AND budget = 'sends_per_minute'`), 6)
  await system.rows(`UPDATE rule_sends SET slot = slot - interval '1 minute' WHERE rule = 'burst'`)
  await say('burst')
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM held_delivery WHERE rule = 'burst'`), 6)
})

test('rules without a budget have the configured one; 0 is any number', async () => {
  await say('standard')
  await say('free')
  await settled()
  assert.deepEqual(await system.rows(`SELECT rule, count(*)::int FROM held_delivery WHERE rule IN ('standard', 'free') GROUP BY 1`), [{ rule: 'standard', count: 3 }])
})

test('what is held for an outreach is canceled when its goal is reached', async () => {
  const pays = async (invoice, from) => {
    await say('hi', { from })
    await settled()
    await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: invoice, metadata: { telegram: String(from) } })))
    await settled()
  }
  const [first, second] = [++people, ++people]
  await pays('in_held_1', first)
  await pays('in_held_2', second)
  await system.untilSql('one to be held', `SELECT count(*) = 1 FROM held_delivery WHERE rule = 'ladder'`)
  await system.post('stripe', stripe.event('invoice.paid', stripe.invoice({ id: 'in_held_2', metadata: { telegram: String(second) }, status: 'paid' })))
  await system.untilSql('the goal', `SELECT state = 'recovered' FROM outreach WHERE reference = 'in_held_2'`)
  await system.untilSql('the end of it', `SELECT count(*) = 0 FROM held_delivery WHERE rule = 'ladder'`)
  assert.equal(await system.value(`SELECT count(*)::int FROM delivery WHERE rule = 'ladder' AND state = 'canceled'`), 1)
})

test('what is held for somebody who is erased never leaves', async () => {
  const contact = await system.value(`SELECT contact_id FROM held_delivery WHERE rule = 'standard' LIMIT 1`)
  await system.rows('SELECT erase_contact($1)', [contact])
  assert.equal(await system.value('SELECT count(*)::int FROM held_delivery WHERE contact_id = $1', [contact]), 0)
})

const health = async () => (await system.rows(`SELECT state, rests, rest_seconds::int FROM rule_health WHERE rule = 'fails'`))[0]

test('a rule that fails rests, is tried on one event, and rests twice as long when it fails again', async () => {
  assert.equal((await health()).state, 'well')
  for (let number = 0; number < 4; number++) {
    await say('fails', { url: urls[number % 2] })
    await settled()
  }
  await until('the quarantine', async () => (await health()).state === 'quarantined')
  assert.deepEqual(await health(), { state: 'quarantined', rests: 1, rest_seconds: 2 })
  await system.untilSql('the alert', `SELECT EXISTS (SELECT FROM event WHERE type = 'custom.heard' AND doc #>> '{body,problem}' = 'rule_quarantined')`)
  await until('its verdict', async () => {
    await say('fails')
    await settled()
    return system.value(`SELECT EXISTS (SELECT FROM trace WHERE rule = 'fails' AND verdict = 'quarantined')`)
  })
  await until('the trial to be due', async () => (await health()).state === 'on trial')
  const failures = await system.value(`SELECT count(*)::int FROM trace WHERE rule = 'fails' AND verdict = 'failed'`)
  await until('the trial', async () => {
    await Promise.all(urls.flatMap((url) => [say('hello', { url }), say('fails', { url })]))
    await settled()
    return (await health()).rests === 2
  })
  assert.equal((await health()).rest_seconds, 4)
  assert.equal(await system.value(`SELECT count(*)::int FROM trace WHERE rule = 'fails' AND verdict = 'failed'`), failures + 1, 'one trial, on one node')
})

test('there is a longest rest, and a trial that runs well ends the quarantine', async () => {
  await until('the next trial to fail', async () => {
    await say('fails')
    await settled()
    return (await health()).rests === 3
  })
  assert.equal((await health()).rest_seconds, 7)
  const metrics = await until('the metric', async () => {
    const text = await (await fetch(`${system.admin}/metrics`)).text()
    return /answerd_\w*quarantin\w* 1/.test(text) && text
  })
  assert.ok(metrics)
  await until('the rule to be back', async () => {
    await say('works')
    await settled()
    return (await health()).state === 'well'
  })
  assert.deepEqual(await health(), { state: 'well', rests: 0, rest_seconds: 0 })
  await say('works', { url: urls[1] })
  await until('both nodes to run it', async () => {
    await Promise.all(urls.map((url) => say('works', { url })))
    await settled()
    return (await system.value(`SELECT count(*)::int FROM event WHERE type = 'custom.worked'`)) > 2
  })
})

test('a rule that fails on one event after the other rests after five, not later', async () => {
  const alone = await System.start({
    rules: null, files: { 'fails.lua': 'rule { name = "fails", doc = "Fails.", on = { "message.received" }, run = function(e, fx) error("no") end }' },
  })
  try {
    for (let number = 1; number <= 8; number++) {
      await alone.post('telegram', telegram.message(600000, 'hello'))
      await alone.untilSql(`event ${number} to be handled`, `SELECT count(*) = ${number} AND NOT EXISTS (SELECT FROM work) FROM trace WHERE rule = 'fails'`)
    }
    assert.deepEqual(await alone.rows(`SELECT verdict, count(*)::int FROM trace WHERE rule = 'fails' GROUP BY 1 ORDER BY 1`),
      [{ verdict: 'failed', count: 5 }, { verdict: 'quarantined', count: 3 }])
  } finally {
    await alone.stop()
  }
})

test('a budget that makes no sense is a problem of the rules', async () => {
  system.writeRule('wrong.lua', 'rule { name = "wrong", doc = "x", on = { "custom.x" }, budget = { sends_per_hours = 1, sends_per_minute = -1 }, run = function(e, fx) end }')
  const refused = await command('reload')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /rule 'wrong': budget has no 'sends_per_hours'; did you mean 'sends_per_hour'/)
  assert.match(refused.stderr, /'sends_per_minute' is a number of messages/)
})
