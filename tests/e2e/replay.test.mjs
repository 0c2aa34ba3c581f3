// Events that run again make only what was never made; webhooks that are read again give only what nobody knew.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, support, telegram, whatsapp } from './support/providers.mjs'
import { run, System } from './support/system.mjs'

const phone = '15550400'
let system

const answerd = (...args) => run([args[0], '--config', system.config, ...args.slice(1)], { env: system.environment() })
const atRest = (what = 'everything to be handled and sent') =>
  system.untilSql(what, `SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox WHERE due_at < now() + interval '1 minute')
    AND NOT EXISTS (SELECT FROM message WHERE direction = 'out' AND source = 'whatsapp' AND state <> 'read')`)

async function replay(...args) {
  const result = await answerd('replay', '--yes', ...args)
  assert.equal(result.code, 0, result.stderr)
  await atRest('the replay to be over')
  return Number(result.stdout.match(/^replay (\d+):/)[1])
}

// Rows that a replay may not touch at all, as they are.
const state = async () => {
  const tables = {
    contact: 'id', identity: 'identity', address: 'source, identity', conversation: 'id', message: 'id', delivery: 'id', survey: 'id', outreach: 'id',
    timer: 'id', outbox: 'position', attempt: 'delivery_id, number', event: 'id', event_key: 'month, source, digest', webhook: 'id', parked_event: 'event_id',
  }
  const rows = {}
  for (const [table, order] of Object.entries(tables)) rows[table] = await system.rows(`SELECT * FROM ${table} ORDER BY ${order}`)
  return rows
}

before(async () => {
  system = await System.start()
  await system.post('whatsapp', whatsapp.message(phone, 'Hello, are you there?', { id: 'wamid.replay.1' }))
  await system.post('whatsapp', whatsapp.message(phone, 'It is about my order', { id: 'wamid.replay.2' }))
  await system.post('telegram', telegram.message(4242, 'hi'))
  await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_replay', phone }), { id: 'evt_replay' }))
  await atRest()
  await system.post('stripe', stripe.event('invoice.paid', { ...stripe.invoice({ id: 'in_replay', phone }), status: 'paid', amount_paid: 1900 }, { id: 'evt_replay_paid' }))
  await system.post('support', support.sign({ type: 'ticket.resolved', timestamp: new Date().toISOString(), data: { ticket: 'T-9', customer: { whatsapp: phone } } }))
  await atRest()
  const survey = await system.untilSql('the survey', `SELECT to_jsonb(s) FROM survey s WHERE state = 'asked'`)
  await system.post('whatsapp', whatsapp.message(phone, { type: 'interactive', interactive: { type: 'list_reply', list_reply: { id: `survey:${survey.id}:5`, title: '5' } } }))
  await system.untilSql('the rating', `SELECT 1 FROM survey WHERE score = 5`)
  await atRest()
})
after(() => system?.stop())

test('everything twice: nothing changes but the record of having run again', async () => {
  const before = await state()
  const events = before.event.length
  const sent = (await system.sent()).length
  assert.ok(events > 15 && sent >= 4, `${events} events, ${sent} sends`)
  for (const round of [1, 2]) {
    const id = await replay('--since', '1h')
    assert.deepEqual(await state(), before, `round ${round}`)
    assert.equal(await system.value('SELECT count(*)::int FROM handling WHERE replay_id = $1', [id]), events)
    assert.equal(await system.value('SELECT events::int FROM replay WHERE id = $1', [id]), events)
    assert.equal(await system.value('SELECT count(*)::int FROM trace WHERE replay_id = $1', [id]), 0, 'every rule had had its say')
  }
  assert.equal((await system.sent()).length, sent)
})

test('a rule that is asked again makes nothing again', async () => {
  const before = await state()
  const id = await replay('--since', '1h', '--type', 'payment.*', '--rule', 'payment-recovery')
  const effects = await system.rows(`SELECT f.effect FROM trace t, jsonb_array_elements(t.effects) f (effect) WHERE t.replay_id = $1 AND t.rule = 'payment-recovery'`, [id])
  assert.equal(effects.length, 1)
  assert.equal(effects[0].effect.do, 'outreach')
  assert.equal(effects[0].effect.suppressed, true)
  assert.deepEqual(await state(), before)
})

test('what a broken rule missed is made up for, once', async () => {
  const broken = `rule { name = "greeter", on = { "message.received" }, when = function(e) return e.message.text == "greet me" end,
    run = function(e, fx) local c = e.conversation or fx:open_conversation { topic = "greetings" }
      c:tag("greeted") %s c:send { text = "Greetings!" } end }`
  const reload = async (text) => {
    system.writeRule('greeter.lua', text)
    const generation = await system.value('SELECT generation FROM rule_pointer')
    system.nodes[0].kill('SIGHUP')
    await system.untilSql('the new rules', `SELECT generation > ${generation} FROM rule_pointer`)
  }
  await reload(broken.replace('%s', 'error("oops")'))
  for (const n of [1, 2, 3]) await system.post('telegram', telegram.message(5000 + n, 'greet me'))
  await system.untilSql('three failures', `SELECT count(*) = 3 FROM trace WHERE rule = 'greeter' AND verdict = 'failed'`)
  await atRest()
  await reload(broken.replace('%s', ''))

  const selection = ['--where', `doc #>> '{message,text}' = 'greet me'`]
  const counts = async () => Number(await system.value(`SELECT count(*) FROM message WHERE text = 'Greetings!'`))
  const dry = await answerd('replay', '--dry', '--json', ...selection)
  assert.equal(dry.code, 0, dry.stderr)
  const report = JSON.parse(dry.stdout)
  assert.equal(report.events, 3)
  assert.deepEqual(report.rules.map(({ rule, kind, count }) => [rule, kind, count]), [['greeter', 'send', 3], ['greeter', 'tag', 3]])
  assert.equal(await counts(), 0, 'dry means dry')

  const id = await replay(...selection, '--rate', '100/s')
  assert.equal(await counts(), 3)
  await system.untilSql('the greetings', `SELECT count(*) = 3 FROM message WHERE text = 'Greetings!' AND state = 'sent'`)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE text = 'Greetings!' AND replay_id = $1`, [id]), 3)
  assert.equal(await system.value(`SELECT count(*)::int FROM delivery WHERE replay_id = $1`, [id]), 3)
  const tagged = await system.rows(`SELECT e.replay_id, h.replay_id AS handled FROM event e JOIN handling h ON h.event_id = e.id WHERE e.type = 'conversation.tagged' AND e.doc #>> '{body,tag}' = 'greeted'`)
  assert.deepEqual(tagged.map((row) => [Number(row.replay_id), Number(row.handled)]), [[id, id], [id, id], [id, id]])
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE text = 'greet me'`), 3, 'what was received is there once')

  const before = await state()
  await replay(...selection)
  await replay('--since', '1h')
  assert.deepEqual(await state(), before)
})

test('a parked event is handled for the first time', async () => {
  const [event] = await system.rows(`SELECT id FROM event WHERE key = 'wamid.replay.1'`)
  const [fresh] = await system.rows(`INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
    SELECT reserve_ids(1), e.received_at, e.occurred_at, e.source, e.type, 'wamid.parked', e.lane,
           jsonb_set(jsonb_set(e.doc, '{message,id}', '"wamid.parked"'), '{message,text}', '"I was parked"') FROM event e WHERE e.id = $1 RETURNING id`, [event.id])
  await system.rows(`INSERT INTO parked_event (event_id, event_received_at, lane, attempts, problem)
    SELECT id, received_at, lane, 5, 'for a test' FROM event WHERE id = $1`, [fresh.id])
  const id = await replay(fresh.id)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE text = 'I was parked' AND replay_id = $1`, [id]), 1)
  assert.equal(await system.value('SELECT count(*)::int FROM parked_event'), 0)
  await replay(fresh.id)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE text = 'I was parked'`), 1)
})

test('it counts first and asks; what it does not understand it refuses', async () => {
  const asked = await answerd('replay', '--since', '1h')
  assert.equal(asked.code, 2)
  assert.match(asked.stderr, /events:\n +\d+ /)
  assert.match(asked.stderr, /say --yes/)
  assert.equal((await answerd('replay')).code, 2)
  assert.equal((await answerd('replay', 'evt_nobody_knows')).code, 1)
  const unreadable = await answerd('replay', '--since', '1h', '--where', 'no_such_column = 1')
  assert.equal(unreadable.code, 2)
  assert.match(unreadable.stderr, /^answerd replay: --where "no_such_column = 1": .*does not exist\nHINT: it is a condition on event_log/m)
  const two = await answerd('replay', '--since', '1h', '--where', 'true); DELETE FROM message; SELECT (1', '--yes')
  assert.notEqual(two.code, 0)
  assert.ok(await system.value('SELECT count(*) > 0 FROM message'))
  assert.equal((await answerd('replay', '--since', '1h', '--rate', 'fast')).code, 2)
})

test('--rule takes rules that are or were there; others are refused with the nearest, and nothing is done', async () => {
  const runs = () => system.value('SELECT count(*)::int FROM replay')
  const before = await runs()
  for (const how of ['--yes', '--dry']) {
    const misspelt = await answerd('replay', how, '--since', '1h', '--rule', 'payment-recovery', '--rule', 'welcom')
    assert.equal(misspelt.code, 2)
    assert.equal(misspelt.stdout, '')
    assert.match(misspelt.stderr, /^answerd replay: --rule welcom: no rule has this name.*\nHINT: did you mean 'welcome'\?\n$/)
    const unlike = await answerd('replay', how, '--since', '1h', '--rule', 'something-else')
    assert.equal(unlike.code, 2)
    assert.match(unlike.stderr, /\nHINT: the rules are .*inbox, .*welcome/)
  }
  assert.equal(await runs(), before)
  // A rule that is gone, and left its traces on these events.
  await system.rows(`UPDATE trace SET rule = 'long-gone' WHERE rule = 'inbox'`)
  assert.equal((await answerd('replay', '--dry', '--since', '1h', '--rule', 'long-gone')).code, 0)
  assert.equal((await answerd('replay', '--dry', '--since', '1h', '--type', 'payment.failed', '--rule', 'long-gone')).code, 2)
})

test('reparse finds what a parser did not know, once', async () => {
  const body = stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_reparsed', phone: '15550455' }), { id: 'evt_reparsed' }).body
  const unread = stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_unread', phone: '15550456' }), { id: 'evt_unread' }).body
  const store = async (text, problem) => (await system.rows(`INSERT INTO webhook (id, source, headers, body, event_count, new_events, problem, parser)
    VALUES (reserve_ids(1), 'stripe', '{}', convert_to($1, 'UTF8'), 0, 0, $2, 0) RETURNING id`, [text, problem]))[0].id
  const first = await store(body, 'cannot be parsed')
  const second = await store(unread, null)
  await system.rows(`INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, doc)
    SELECT reserve_ids(1), received_at, received_at, id, 'stripe', 'webhook.stripe', 'evt_unread', 1, '{"type": "webhook.stripe"}' FROM webhook WHERE id = $1`, [second])
  await system.rows(`SELECT claim_event_keys(ARRAY['stripe'], ARRAY[event_key_digest('evt_unread')])`)

  const known = await system.value('SELECT count(*)::int FROM event')
  const dry = await answerd('reparse', '--since', '1h', '--dry')
  assert.equal(dry.code, 0, dry.stderr)
  assert.match(dry.stdout, /2 would be new/)
  assert.equal(await system.value('SELECT count(*)::int FROM event'), known)

  const done = await answerd('reparse', '--since', '1h')
  assert.equal(done.code, 0, done.stderr)
  assert.match(done.stdout, /2 are new/)
  await atRest()
  for (const reference of ['in_reparsed', 'in_unread']) assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE type = 'payment.failed' AND doc #>> '{payment,invoice}' = $1`, [reference]), 1, reference)
  const [webhook] = await system.rows('SELECT problem, parser, event_count, new_events FROM webhook WHERE id = $1', [first])
  assert.equal(webhook.problem, null)
  assert.ok(webhook.parser > 0)
  assert.deepEqual([webhook.event_count, webhook.new_events], [1, 1])
  assert.equal(await system.value(`SELECT count(*)::int FROM outreach WHERE reference IN ('in_reparsed', 'in_unread')`), 2)

  const before = await state()
  const again = await answerd('reparse', '--since', '1h', '--source', 'stripe')
  assert.match(again.stdout, /0 are new/)
  await atRest()
  assert.deepEqual(await state(), before)
})
