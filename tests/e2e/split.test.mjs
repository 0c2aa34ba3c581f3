// Two people who were taken for one are taken apart: what was said by each and to each goes with them, and nothing that was meant for the
// one leaves for the other.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, telegram, whatsapp } from './support/providers.mjs'
import { System } from './support/system.mjs'

let system

const rules = `
rule { name = "answer", on = "message.received", run = function(e, fx)
  fx:open_conversation { topic = "support" }:send { text = "We read it." }
end }
rule { name = "link", on = "message.received", priority = 10, when = function(e) return e.message.text:match("^I am ") end, run = function(e, fx)
  e.contact:identify(e.message.text:match("^I am (%S+)"))
end }
rule { name = "recover", on = "payment.failed", run = function(e, fx)
  fx:outreach { topic = "billing", reference = e.payment.invoice, goal = "payment.succeeded",
                steps = { { text = "Please pay." }, { after = "24h", text = "Please pay at last." } } }
end }
rule { name = "nudge", on = "message.received", when = function(e) return e.message.text == "later" end, run = function(e, fx)
  e.conversation:after("24h", "nudge")
end }
rule { name = "nudged", on = "timer.nudge", run = function(e, fx) e.conversation:send { text = "Still there?" } end }
rule { name = "told", on = "contact.split", run = function(e, fx) e.contact:set("split", e.body.into) end }
`

before(async () => { system = await System.start({ rules: null, files: { 'split.lua': rules } }) })
after(() => system?.stop())

const done = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox)')
const post = async (source, webhook) => { assert.equal((await system.post(source, webhook)).status, 200); await done() }
const ownerOf = (identity) => system.value('SELECT contact_id FROM identity WHERE identity = $1', [identity])
const split = (contact, ...handles) => system.value('SELECT split_contact($1, VARIADIC $2)', [contact, handles])
const textsTo = async (identity) => (await system.rows('SELECT text FROM message WHERE identity = $1 AND direction = $2 AND state IN ($3, $4, $5) ORDER BY created_at, id', [identity, 'out', 'sent', 'delivered', 'read'])).map((row) => row.text)
const said = async (contact) => (await system.rows(`SELECT text FROM conversation_history WHERE contact_id = $1 AND direction = 'in' ORDER BY at`, [contact])).map((row) => row.text)
// A node that starts looks for timers that were due long ago.
async function fireTimers() {
  await system.stopNode(system.nodes[0])
  await system.rows(`UPDATE timer SET due_at = now() WHERE name <> 'window.closing'`)
  await system.rows(`UPDATE outreach SET started_at = started_at - interval '24 hours'`)
  await system.serve()
  await system.untilSql('the timers to fire', `SELECT NOT EXISTS (SELECT FROM timer WHERE due_at < now())`)
  await done()
}

test('a customer number that a stranger gave as their own: the reminders go where they belong', async () => {
  await post('whatsapp', whatsapp.message('15553000001', 'I am stripe:cus_bob'))
  const ada = await ownerOf('whatsapp:15553000001')
  assert.equal(await ownerOf('stripe:cus_bob'), ada)
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_bob', customer: 'cus_bob' })))
  assert.deepEqual(await textsTo('whatsapp:15553000001'), ['We read it.', 'Please pay.'])

  const bob = await split(ada, 'stripe:cus_bob')
  assert.equal(await ownerOf('stripe:cus_bob'), bob)
  assert.equal(await system.value(`SELECT contact_id FROM outreach_list WHERE reference = 'in_bob'`), bob)
  assert.equal(await system.value(`SELECT contact_id FROM payment_log WHERE invoice = 'in_bob'`), bob)
  await system.untilSql('the rule that is told', `SELECT 1 FROM contact WHERE id = $1 AND attributes->>'split' = $2`, [ada, String(bob)])
  await fireTimers()
  await system.untilSql('the next step', `SELECT 1 FROM outreach WHERE reference = 'in_bob' AND step = 2`)
  await done()
  assert.deepEqual(await textsTo('whatsapp:15553000001'), ['We read it.', 'Please pay.'])
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_bob_2', customer: 'cus_bob' })))
  assert.deepEqual(await textsTo('whatsapp:15553000001'), ['We read it.', 'Please pay.'])

  // Bob is found when he writes, and gets what is his.
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_bob_3', customer: 'cus_bob', metadata: { telegram: '3001' } })))
  await post('telegram', telegram.message(3001, 'hello'))
  assert.equal(await ownerOf('telegram:3001'), bob)
  await post('whatsapp', whatsapp.message('15553000001', 'it is me'))
  assert.deepEqual(await said(ada), ['I am stripe:cus_bob', 'it is me'])
  assert.deepEqual(await said(bob), ['hello'])
})

test('a chat that a payment named by mistake: each has a conversation of their own', async () => {
  const phone = '15553000002', ada = 'whatsapp:' + phone
  await post('whatsapp', whatsapp.message(phone, 'hello, I am Ada'))
  const contact = await ownerOf(ada)
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_ada', customer: 'cus_ada', metadata: { whatsapp: phone, telegram: '3002' } })))
  assert.equal(await ownerOf('telegram:3002'), contact)
  await post('telegram', telegram.message(3002, 'who are you?', { name: 'Mallory' }))
  await post('telegram', telegram.message(3002, 'later', { name: 'Mallory' }))
  await post('whatsapp', whatsapp.message(phone, 'Ada again'))
  assert.deepEqual(await said(contact), ['hello, I am Ada', 'who are you?', 'later', 'Ada again'])
  const last = await system.value(`SELECT event_id FROM conversation_history WHERE text = 'who are you?'`)

  const stranger = await split(contact, 'telegram:3002')
  assert.deepEqual(await said(contact), ['hello, I am Ada', 'Ada again'])
  assert.deepEqual(await said(stranger), ['who are you?', 'later'])
  const list = await system.rows(`SELECT contact_id, channel, topic, state, messages_in, conversation_id FROM conversation_list WHERE contact_id IN ($1, $2) AND topic = 'support' ORDER BY contact_id`, [contact, stranger])
  assert.deepEqual(list.map(({ contact_id, channel, state }) => [contact_id, channel, state]), [[contact, 'whatsapp', 'open'], [stranger, 'telegram', 'open']])
  assert.deepEqual(await system.rows('SELECT contact_id, conversation_id FROM event_log WHERE event_id = $1', [last]), [{ contact_id: stranger, conversation_id: list[1].conversation_id }])
  assert.equal(await system.value(`SELECT contact_id FROM outreach_list WHERE reference = 'in_ada'`), contact)

  // What goes on, goes on where it belongs.
  await post('telegram', telegram.message(3002, 'I am still here', { name: 'Mallory' }))
  await fireTimers()
  assert.deepEqual(await textsTo(ada), ['We read it.', 'Please pay.', 'Please pay at last.'])
  assert.deepEqual((await textsTo('telegram:3002')).slice(-2), ['We read it.', 'Still there?'])
  assert.equal(await system.value(`SELECT conversation_id FROM conversation_history WHERE text = 'I am still here'`), list[1].conversation_id)
})

test('what waits to leave for the wrong person never does, what was meant for them does', async () => {
  const phone = '15553000003', ada = 'whatsapp:' + phone
  await post('whatsapp', whatsapp.message(phone, 'I am stripe:cus_carl'))
  const contact = await ownerOf(ada)
  await system.rows(`UPDATE source_pace SET paused_until = 'infinity' WHERE source = 'whatsapp'`)
  assert.equal((await system.post('whatsapp', whatsapp.message(phone, 'hello'))).status, 200)
  assert.equal((await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_carl', customer: 'cus_carl' })))).status, 200)
  await system.untilSql('both to wait', `SELECT count(*) = 2 FROM outbox WHERE contact_id = $1`.replace('$1', contact))
  const carl = await split(contact, 'stripe:cus_carl')
  await system.rows(`UPDATE source_pace SET paused_until = NULL WHERE source = 'whatsapp'`)
  await done()
  assert.deepEqual(await textsTo(ada), ['We read it.', 'We read it.'])
  assert.deepEqual(await system.rows(`SELECT contact_id, state, error_code, reason FROM delivery_log WHERE outreach_id IS NOT NULL AND state = 'canceled'`),
    [{ contact_id: contact, state: 'canceled', error_code: 'split', reason: 'its receiver turned out to be somebody else' }])
  assert.equal(await system.value(`SELECT contact_id FROM outreach_list WHERE reference = 'in_carl'`), carl)
})

test('a merge is undone: who they were before is who they are again', async () => {
  const phone = '15553000005', userId = 'US.3005'
  const says = (text, name, contact, message) => whatsapp.sign(whatsapp.envelope({
    contacts: [{ profile: { name }, ...contact }],
    messages: [{ id: 'wamid.' + text, timestamp: String(Math.floor(Date.now() / 1000)), type: 'text', text: { body: text }, ...message }],
  }))
  await post('whatsapp', says('from a number', 'Ada', { wa_id: phone }, { from: phone }))
  await post('whatsapp', says('without a number', 'Grace', { user_id: userId }, { from_user_id: userId }))
  const ada = await ownerOf('whatsapp:' + phone), grace = await ownerOf('whatsapp:' + userId)
  assert.notEqual(ada, grace)
  await system.rows(`UPDATE contact SET attributes = '{"plan": "pro"}' WHERE id = $1`, [grace])
  await post('whatsapp', says('with both', 'Ada', { wa_id: phone, user_id: userId }, { from: phone, from_user_id: userId }))
  assert.equal(await ownerOf('whatsapp:' + userId), ada)
  assert.equal(await system.value('SELECT merged_into FROM contact WHERE id = $1', [grace]), ada)

  // By the number of who was merged, too.
  const again = await split(grace, 'whatsapp:' + userId)
  const [row] = await system.rows('SELECT name, attributes FROM contact WHERE id = $1', [again])
  assert.deepEqual(row, { name: 'Grace', attributes: { plan: 'pro' } })
  assert.deepEqual(await said(again), ['without a number', 'with both']) // from the id, at the number
  assert.deepEqual(await said(ada), ['from a number'])
})

test('a mistake says what to do, and changes nothing', async () => {
  await post('whatsapp', whatsapp.message('15553000004', 'I am email:ada@example.com'))
  const contact = await ownerOf('email:ada@example.com')
  const refused = async (sql, message, hint) => assert.rejects(system.rows(sql), (error) => {
    assert.match(error.message, message)
    assert.match(error.hint, hint)
    return true
  })
  await refused('SELECT split_contact(1, $$email:x$$)', /there is no contact 1/, /identity_list/)
  await refused(`SELECT split_contact(${contact}, 'email:bob@example.com')`, /does not have email:bob@example.com/, /email:ada@example.com, phone:15553000004, whatsapp:15553000004/)
  await refused(`SELECT split_contact(${contact}, 'whatsapp:15553000004', 'email:ada@example.com')`, /would have no handle left/, /the other person/)
  assert.equal(await system.value('SELECT count(*)::int FROM identity WHERE contact_id = $1', [contact]), 3)
})
