// Nothing falls on the wrong person: whatever comes from outside names people, messages and deliveries, and may name others' by
// mistake, by chance or on purpose.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System, secrets } from './support/system.mjs'

let system

const rules = `
rule { name = "answer", on = { "message.received", "message.button" }, run = function(e, fx)
  fx:open_conversation { topic = "support" }:send { text = "We read it." }
end }
rule { name = "lost", on = { "message.status" }, when = function(e) return e.status.state == "failed" end, run = function(e, fx)
  if e.conversation then e.conversation:note("not delivered") end
end }
`

before(async () => {
  system = await System.start({
    rules: null,
    files: { 'answers.lua': rules },
    config: `source "second" { kind = "whatsapp", phone_number_id = "999", app_secret = env "WHATSAPP_APP_SECRET", verify_token = "v",
                               access_token = env "WHATSAPP_ACCESS_TOKEN", api_url = env "ANSWERD_SIMULATE_URL" }`,
  })
  await system.faults({ kind: 'no_status', times: -1 })
})
after(() => system?.stop())

const now = () => String(Math.floor(Date.now() / 1000))
const done = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox)')
const post = async (source, webhook) => assert.equal((await system.post(source, webhook)).status, 200)
const contactOf = (identity) => system.value('SELECT contact_id FROM identity WHERE identity = $1', [identity])
let people = 0
const number = () => '1555200' + String(++people).padStart(4, '0')

// Somebody writes, and is answered: the message of ours, as it is in the database.
async function answered(phone) {
  await post('whatsapp', whatsapp.message(phone, 'hello'))
  await system.untilSql('an answer', `SELECT 1 FROM message WHERE identity = 'whatsapp:${phone}' AND direction = 'out' AND state = 'sent'`)
  await done()
  const [row] = await system.rows(`SELECT m.*, d.id AS delivery FROM message AS m JOIN delivery AS d ON d.message_id = m.id
                                    WHERE m.identity = 'whatsapp:${phone}' AND m.direction = 'out'`)
  return row
}
const status = (content, phoneNumberId = secrets.WHATSAPP_PHONE_NUMBER_ID) => whatsapp.sign(whatsapp.envelope({
  metadata: { display_phone_number: '1', phone_number_id: phoneNumberId },
  statuses: [{ id: 'wamid.' + randomUUID(), status: 'failed', timestamp: now(), errors: [{ code: 131026, title: 'Message undeliverable' }], ...content }],
}))
const stateOf = (message) => system.value(`SELECT state FROM message WHERE id = ${message.id}`)
const isReachable = (phone) => system.value(`SELECT unreachable_at IS NULL FROM address WHERE source = 'whatsapp' AND identity = 'whatsapp:${phone}'`)

test('a status that carries our number of a message to somebody else is of a message that we do not know', async () => {
  const ada = number(), stranger = number()
  const message = await answered(ada)
  const lost = 'wamid.' + randomUUID()
  await post('whatsapp', status({ id: lost, recipient_id: stranger, biz_opaque_callback_data: message.delivery }))
  await post('whatsapp', status({ recipient_user_id: 'US.900', biz_opaque_callback_data: message.delivery }))
  await post('whatsapp', status({ biz_opaque_callback_data: message.delivery }))
  await done()
  assert.equal(await stateOf(message), 'sent')
  assert.equal(await isReachable(ada), true)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE direction = 'note' AND contact_id = ${message.contact_id}`), 0)
  assert.deepEqual(await system.rows(`SELECT identity FROM identity WHERE contact_id = ${message.contact_id} ORDER BY 1`), [{ identity: 'phone:' + ada }, { identity: 'whatsapp:' + ada }])
  // It is kept, and says why it moved nothing.
  assert.equal(await system.value('SELECT state FROM unmatched_status WHERE provider_message_id = $1', [lost]), 'failed')
  const [trace] = await system.rows(`SELECT effects FROM rule_trace AS t JOIN event AS e ON e.id = t.event_id WHERE e.key = $1 AND t.rule = 'answerd.status'`, [lost + ':failed'])
  assert.match(trace.effects[0].refused, /went to somebody else/)
  // Whom the number belongs to is nobody yet.
  await answered(stranger)
  assert.notEqual(await contactOf('whatsapp:' + stranger), message.contact_id)
})

test('a status by our number is believed of whom it went to, however Meta writes them', async () => {
  const brazilian = '5511987650001'
  for (const recipient of [brazilian, '551187650001']) {
    await system.faults({ source: 'whatsapp', kind: 'drop_answer' })
    await post('whatsapp', whatsapp.message(brazilian, 'hello'))
    const unknown = `FROM message AS m JOIN delivery AS d ON d.message_id = m.id WHERE m.identity = 'whatsapp:${brazilian}' AND m.state = 'unknown'`
    await system.untilSql('an answer of which nobody knows', `SELECT 1 ${unknown}`)
    const [row] = await system.rows(`SELECT m.id, d.id AS delivery ${unknown}`)
    await post('whatsapp', status({ status: 'delivered', errors: undefined, recipient_id: recipient, biz_opaque_callback_data: row.delivery }))
    await system.untilSql('the proof', `SELECT 1 FROM message WHERE id = ${row.id} AND state = 'delivered'`)
    await done()
  }
  assert.equal(await contactOf('whatsapp:551187650001'), await contactOf('whatsapp:' + brazilian))
})

test('a source says nothing of what was sent through another one, by whichever id', async () => {
  const ada = number()
  const message = await answered(ada)
  await post('second', status({ id: message.provider_message_id, recipient_id: ada, biz_opaque_callback_data: message.delivery }, '999'))
  await done()
  assert.equal(await stateOf(message), 'sent')
  assert.equal(await isReachable(ada), true)
  // Its own webhooks at the other one's path are kept, and not handled.
  await post('second', status({ id: message.provider_message_id, recipient_id: ada, biz_opaque_callback_data: message.delivery }))
  await done()
  assert.equal(await stateOf(message), 'sent')
  // Two numbers may be given the same ids: each source has its own.
  await post('second', whatsapp.sign(whatsapp.envelope({ metadata: { display_phone_number: '1', phone_number_id: '999' }, messages: [{ from: ada, id: 'wamid.twin', timestamp: now(), type: 'text', text: { body: 'to the second' } }] })))
  await post('whatsapp', whatsapp.message(ada, 'to the first', { id: 'wamid.twin' }))
  await done()
  await post('whatsapp', whatsapp.sign(whatsapp.envelope({ messages: [{ from: ada, id: 'wamid.edit', timestamp: now(), type: 'edit', edit: { original_message_id: 'wamid.twin', message: { type: 'text', text: { body: 'to the first, edited' } } } }] })))
  await done()
  assert.deepEqual(await system.rows(`SELECT source, text FROM message WHERE provider_message_id = 'wamid.twin' ORDER BY source`), [
    { source: 'second', text: 'to the second' }, { source: 'whatsapp', text: 'to the first, edited' },
  ])
})

// A pause of the source: what rules send waits until it is over.
async function whilePaused(source, act) {
  await system.rows(`INSERT INTO source_pace (source, paused_until) VALUES ($1, now() + interval '1 hour') ON CONFLICT (source) DO UPDATE SET paused_until = excluded.paused_until`, [source])
  await act()
  await system.untilSql('what happened meanwhile', 'SELECT NOT EXISTS (SELECT FROM work)')
  await system.rows(`UPDATE source_pace SET paused_until = NULL WHERE source = $1`, [source])
  await done()
}
const sentTo = async (phone) => (await system.sent()).filter((entry) => entry.to === '+' + phone)

test('what waits for somebody does not leave to who has their number by then', async () => {
  const old = number(), current = number()
  await answered(old)
  const before = await contactOf('whatsapp:' + old)
  await whilePaused('whatsapp', async () => {
    await post('whatsapp', whatsapp.message(old, 'one more question'))
    await system.untilSql('the answer to wait', `SELECT 1 FROM outbox WHERE contact_id = ${before}`)
    await post('whatsapp', whatsapp.sign(whatsapp.envelope({ messages: [{ from: old, id: 'wamid.' + randomUUID(), timestamp: now(), type: 'system', system: { type: 'user_changed_number', wa_id: current, body: 'changed' } }] })))
    await post('whatsapp', whatsapp.message(old, 'I have this number now', { name: 'Grace' }))
    await system.untilSql('the answer to the new owner', `SELECT 1 FROM outbox WHERE contact_id <> ${before}`)
  })
  assert.equal(await contactOf('whatsapp:' + current), before)
  const grace = await contactOf('whatsapp:' + old)
  assert.notEqual(grace, before)
  assert.deepEqual(await system.rows(`SELECT contact_id = ${before} AS was, state, error_code FROM delivery WHERE identity = 'whatsapp:${old}' ORDER BY created_at`), [
    { was: true, state: 'sent', error_code: null }, { was: true, state: 'blocked', error_code: 'moved' }, { was: false, state: 'sent', error_code: null },
  ])
  assert.equal((await sentTo(old)).length, 2)
})

test('a number that comes with another id of WhatsApp has another owner', async () => {
  const phone = number()
  const says = (userId, text) => whatsapp.sign(whatsapp.envelope({
    contacts: [{ profile: { name: userId }, wa_id: phone, user_id: userId }],
    messages: [{ from: phone, from_user_id: userId, id: 'wamid.' + randomUUID(), timestamp: now(), type: 'text', text: { body: text } }],
  }))
  await post('whatsapp', says('US.ada', 'I am Ada'))
  await done()
  const ada = await contactOf('whatsapp:' + phone)
  const [conversation] = await system.rows(`SELECT id FROM conversation WHERE contact_id = ${ada}`)
  await whilePaused('whatsapp', async () => {
    await post('whatsapp', says('US.ada', 'and I have a question'))
    await system.untilSql('the answer to wait', `SELECT 1 FROM outbox WHERE contact_id = ${ada}`)
    await post('whatsapp', says('US.grace', 'I am Grace'))
  })
  const grace = await contactOf('whatsapp:US.grace')
  assert.notEqual(grace, ada)
  assert.equal(await contactOf('whatsapp:US.ada'), ada)
  assert.equal(await contactOf('whatsapp:' + phone), grace)
  assert.equal(await contactOf('phone:' + phone), grace)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE conversation_id = ${conversation.id} AND text = 'I am Grace'`), 0)
  // The answer to Ada, who does not have the number any more, did not leave.
  assert.deepEqual((await system.rows(`SELECT state FROM delivery WHERE contact_id = ${ada} ORDER BY created_at`)).map((row) => row.state), ['sent', 'blocked'])
  assert.equal((await sentTo(phone)).length, 2)
})
