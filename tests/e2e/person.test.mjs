// Nothing falls on the wrong person: whatever comes from outside names people, messages and deliveries, and may name others' by
// mistake, by chance or on purpose.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { stripe, telegram, whatsapp } from './support/providers.mjs'
import { System, run, secrets } from './support/system.mjs'

let system

const rules = `
rule { name = "answer", on = { "message.received", "message.button" }, run = function(e, fx)
  fx:open_conversation { topic = "support" }:send { text = "We read it." }
end }
survey "csat" { question = { en = "How was it?" }, scale = 5 }
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

test('a status by our number is believed of whom it went to, however Meta writes them, and where it names nobody', async () => {
  const brazilian = '5511987650001'
  for (const recipient of [brazilian, '551187650001', undefined]) {
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

test('nobody edits, deletes or reacts to what is another person\'s', async () => {
  const ada = number(), mallory = number()
  const message = await answered(ada)
  const [theirs] = await system.rows(`SELECT id, provider_message_id, text FROM message WHERE identity = 'whatsapp:${ada}' AND direction = 'in'`)
  await answered(mallory)
  const act = (content) => whatsapp.message(mallory, content)
  await post('whatsapp', act({ type: 'edit', edit: { original_message_id: theirs.provider_message_id, message: { type: 'text', text: { body: 'forged' } } } }))
  await post('whatsapp', act({ type: 'revoke', revoke: { original_message_id: theirs.provider_message_id } }))
  await post('whatsapp', act({ type: 'revoke', revoke: { original_message_id: message.provider_message_id } }))
  await post('whatsapp', act({ type: 'reaction', reaction: { message_id: message.provider_message_id, emoji: '👎' } }))
  await post('whatsapp', act({ type: 'text', text: { body: 'about that' }, context: { from: ada, id: message.provider_message_id } }))
  await done()
  assert.deepEqual(await system.rows(`SELECT text, edited_at, deleted_at FROM message WHERE id = ${theirs.id}`), [{ text: theirs.text, edited_at: null, deleted_at: null }])
  assert.equal(await system.value(`SELECT deleted_at FROM message WHERE id = ${message.id}`), null)
  // All of it is in Mallory's own history, and nothing of it in Ada's.
  const mallorys = await contactOf('whatsapp:' + mallory)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE contact_id = ${message.contact_id}`), 2)
  assert.equal(await system.value(`SELECT count(*)::int FROM message AS m JOIN conversation AS v ON v.id = m.conversation_id WHERE m.contact_id = ${mallorys} AND v.contact_id <> ${mallorys}`), 0)
  assert.equal((await sentTo(ada)).length, 1)
})

test('a tap with the payload of another person\'s survey rates nothing', async () => {
  const ada = number(), mallory = 700000 + people
  await answered(ada)
  const of = await contactOf('whatsapp:' + ada)
  const conversation = await system.value(`SELECT id FROM conversation WHERE contact_id = ${of}`)
  const token = (await run(['token', 'create', '--name', 'tests', '--scopes', 'read,write', '--config', system.config], { env: system.environment() })).stdout.trim()
  const answer = await fetch(`${system.admin}/api/v1/conversations/${conversation}/survey`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify({ survey: 'csat' }) })
  assert.equal(answer.status, 200, await answer.text())
  const survey = await system.untilSql('the question', `SELECT id FROM survey WHERE contact_id = ${of} AND state = 'asked'`)
  await post('telegram', telegram.message(mallory, 'hello'))
  for (const payload of [`survey:${survey}:1`, `survey:${survey}:99`, 'survey:9999999999999999999:1', `survey:${survey}:`]) {
    await post('telegram', telegram.tap(mallory, payload))
  }
  await post('whatsapp', whatsapp.message(number(), { type: 'interactive', interactive: { type: 'button_reply', button_reply: { id: `survey:${survey}:1`, title: '1' } } }))
  // The digit as a text is an answer of whom it was asked alone.
  await post('whatsapp', whatsapp.message(number(), '1'))
  await done()
  assert.deepEqual(await system.rows(`SELECT state, score FROM survey WHERE id = ${survey}`), [{ state: 'asked', score: null }])
  await post('whatsapp', whatsapp.message(ada, { type: 'interactive', interactive: { type: 'button_reply', button_reply: { id: `survey:${survey}:5`, title: '5' } } }))
  await done()
  assert.deepEqual(await system.rows(`SELECT state, score FROM survey WHERE id = ${survey}`), [{ state: 'answered', score: 5 }])
})

test('a payment with another customer\'s address in it joins nobody, and pays nobody else\'s invoice', async () => {
  const ada = number(), grace = 800000 + people
  await answered(ada)
  await post('telegram', telegram.message(grace, 'hello'))
  await done()
  const adas = await contactOf('whatsapp:' + ada), graces = await contactOf('telegram:' + grace)
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_ada', customer: 'cus_ada', metadata: { whatsapp: ada } })))
  await done()
  assert.equal(await contactOf('stripe:cus_ada'), adas)
  // Grace's checkout, with Ada's number typed into it.
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_grace', customer: 'cus_grace', phone: ada, metadata: { telegram: String(grace) } })))
  // Ada's customer id with a chat in the metadata that is Grace's, as a mistake of the shop's would have it.
  await post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_mixed', customer: 'cus_ada', metadata: { telegram: String(grace) } })))
  await done()
  assert.equal(await contactOf('stripe:cus_grace'), graces)
  assert.equal(await contactOf('stripe:cus_ada'), adas)
  assert.equal(await contactOf('telegram:' + grace), graces)
  assert.equal(await contactOf('whatsapp:' + ada), adas)
  assert.equal(await system.value(`SELECT count(*)::int FROM contact WHERE merged_into IN (${adas}, ${graces})`), 0)
  assert.equal(await system.value(`SELECT contact_id FROM payment_log WHERE reference = 'in_grace'`), graces)
})

test('a status that comes after the erasure brings nothing of the person back', async () => {
  const ada = number()
  const message = await answered(ada)
  await system.rows(`SELECT erase_contact(${message.contact_id})`)
  await post('whatsapp', status({ id: message.provider_message_id, status: 'read', errors: undefined, recipient_id: ada, biz_opaque_callback_data: message.delivery }))
  await done()
  assert.equal(await contactOf('whatsapp:' + ada), undefined)
  assert.equal(await system.value(`SELECT name FROM contact WHERE id = ${message.contact_id}`), null)
  await system.rows(`SELECT erase_contact(${message.contact_id})`)
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE doc::text LIKE '%${ada}%'`), 0)
  assert.equal(await system.value(`SELECT count(*)::int FROM unmatched_status WHERE provider_message_id = $1`, [message.provider_message_id]), 0)
  // Who comes back is somebody new.
  await post('whatsapp', whatsapp.message(ada, 'hello again'))
  await done()
  assert.notEqual(await contactOf('whatsapp:' + ada), message.contact_id)
})

test('a message in a group and one to the bot with the same number are two', async () => {
  const grace = 900000 + people
  const from = { id: grace, is_bot: false, first_name: 'Grace' }
  const group = { id: -1001, type: 'group', title: 'Friends' }
  const at = Math.floor(Date.now() / 1000)
  await post('telegram', telegram.message(grace, 'to the bot', { id: 7 }))
  await post('telegram', telegram.update({ message: { message_id: 7, date: at, text: 'in the group', from, chat: group } }))
  await post('telegram', telegram.update({ edited_message: { message_id: 7, date: at, edit_date: at, text: 'in the group, edited', from, chat: group } }))
  await done()
  const texts = async () => (await system.rows(`SELECT text FROM message WHERE identity = 'telegram:${grace}' AND direction = 'in' ORDER BY text`)).map((row) => row.text)
  assert.deepEqual(await texts(), ['in the group, edited', 'to the bot'])
  // The group becomes another one, whose messages have other numbers: that is news of a chat, and says nothing of a person.
  await post('telegram', telegram.update({ message: { message_id: 8, date: at, migrate_to_chat_id: -1002000, from, chat: group } }))
  await post('telegram', telegram.update({ message: { message_id: 1, date: at, migrate_from_chat_id: -1001, from, chat: { ...group, id: -1002000, type: 'supergroup' } } }))
  await done()
  assert.deepEqual(await texts(), ['in the group, edited', 'to the bot'])
  assert.deepEqual(await system.rows(`SELECT recipient FROM address WHERE identity = 'telegram:${grace}'`), [{ recipient: String(grace) }])
  assert.equal(await system.value(`SELECT count(*)::int FROM identity WHERE identity LIKE 'telegram:-%'`), 0)
})

test('what somebody takes back is taken back whole, also when its edit came before it', async () => {
  const phone = number(), id = 'wamid.early.' + phone
  const says = (message) => whatsapp.sign(whatsapp.envelope({ contacts: [{ profile: { name: 'Ada' }, wa_id: phone }], messages: [{ from: phone, id: 'wamid.' + randomUUID(), timestamp: now(), ...message }] }))
  await post('whatsapp', says({ type: 'edit', edit: { original_message_id: id, message: { type: 'text', text: { body: 'my secret, edited' } } } }))
  await done()
  await post('whatsapp', whatsapp.message(phone, 'my secret', { id }))
  await done()
  await post('whatsapp', says({ type: 'revoke', revoke: { original_message_id: id } }))
  await done()
  assert.deepEqual(await system.rows('SELECT text, deleted_at IS NOT NULL AS deleted FROM conversation_history WHERE provider_message_id = $1 ORDER BY text', [id]),
    [{ text: 'my secret', deleted: true }, { text: 'my secret, edited', deleted: true }])
})
