// What Meta's webhooks hold beyond messages for us: what another number of the same app receives, and statuses that name
// no messages.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { meta, whatsapp } from './support/providers.mjs'
import { System } from './support/system.mjs'

let system

before(async () => {
  system = await System.start({
    config: 'source "messenger" { kind = "messenger", app_secret = env "WHATSAPP_APP_SECRET", verify_token = "v", access_token = "a-page-token", page_id = "555", api_url = env "ANSWERD_SIMULATE_URL" }',
  })
})
after(() => system?.stop())

const done = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')

test('what another number of the app receives is kept, and answered from no number', async () => {
  const body = whatsapp.envelope(
    { metadata: { display_phone_number: '1', phone_number_id: '999' }, messages: [{ from: '15558000001', id: 'wamid.other', timestamp: '1795420700', type: 'text', text: { body: 'to the other' } }] },
    { messages: [{ from: '15558000002', id: 'wamid.ours', timestamp: String(Math.floor(Date.now() / 1000)), type: 'text', text: { body: 'to us' } }] },
  )
  assert.equal((await system.post('whatsapp', whatsapp.sign(body))).status, 200)
  await system.untilSql('the answer to ours', `SELECT 1 FROM message WHERE identity = 'whatsapp:15558000002' AND direction = 'out' AND state IN ('sent', 'delivered', 'read')`)
  await done()
  assert.equal(await system.value(`SELECT count(*)::int FROM identity WHERE identity = 'whatsapp:15558000001'`), 0)
  assert.deepEqual((await system.sent()).filter((entry) => entry.to === '+15558000001'), [])
  const [webhook] = await system.rows('SELECT problem, event_count FROM webhook_log')
  assert.equal(webhook.event_count, 2)
  assert.match(webhook.problem, /phone number id 999/)
  const kept = await system.value(`SELECT doc #>> '{body,value,messages,0,id}' FROM event WHERE type = 'webhook.whatsapp'`)
  assert.equal(kept, 'wamid.other')
})

const ofMessenger = (person, key, content, page = '555') => meta.sign({
  object: 'page', entry: [{ id: page, time: Date.now(), messaging: [{ sender: { id: person }, recipient: { id: '555' }, timestamp: Date.now(), [key]: content }] }],
})
const outgoing = (person) => system.rows(`SELECT state, read_at FROM message WHERE identity = 'messenger:${person}' AND direction = 'out' ORDER BY id`)

test('what another page of the app receives is kept, and answered from no page', async () => {
  await system.post('messenger', ofMessenger('7900', 'message', { mid: 'm_of_666', text: 'to the other page' }, '666'))
  await system.untilSql('the webhook', `SELECT 1 FROM webhook_log WHERE problem = 'it is for the page 666, and this source has 555'`)
  await done()
  assert.equal(await system.value(`SELECT count(*)::int FROM identity WHERE identity = 'messenger:7900'`), 0)
  assert.equal(await system.value(`SELECT doc #>> '{body,messaging,0,message,mid}' FROM event WHERE type = 'webhook.messenger'`), 'm_of_666')
})

test('Messenger says until when everything was read, and names no message', async () => {
  await system.faults({ source: 'messenger', kind: 'no_status', times: -1 })
  for (const number of [1, 2]) {
    await system.post('messenger', ofMessenger('7001', 'message', { mid: 'm_in_' + number, text: 'hello ' + number }))
  }
  await system.untilSql('the answer', `SELECT 1 FROM message WHERE identity = 'messenger:7001' AND direction = 'out' AND state = 'sent'`)
  await done()
  const before = await outgoing('7001')
  assert.deepEqual(new Set(before.map((row) => row.state)), new Set(['sent']))
  await system.post('messenger', ofMessenger('7001', 'delivery', { watermark: String(Date.now()) }))
  await system.untilSql('the delivery', `SELECT bool_and(state = 'delivered') FROM message WHERE identity = 'messenger:7001' AND direction = 'out'`)
  await system.post('messenger', ofMessenger('7001', 'read', { watermark: Date.now() }))
  await system.untilSql('the reading', `SELECT bool_and(state = 'read') FROM message WHERE identity = 'messenger:7001' AND direction = 'out'`)
})

test('the simulated Messenger reads what it is sent', async () => {
  await fetch(`${system.simulateUrl}/control/faults`, { method: 'DELETE' })
  await system.post('messenger', ofMessenger('7002', 'message', { mid: 'm_in_7002', text: 'hello' }))
  await system.untilSql('the reading', `SELECT 1 FROM message WHERE identity = 'messenger:7002' AND direction = 'out' AND state = 'read' AND delivered_at IS NOT NULL`)
})

test('an echo of our own message that does not say whose it is, is found by its id', async () => {
  const lines = () => system.rows(`SELECT provider_message_id AS id, author FROM message WHERE identity = 'messenger:7003' AND direction = 'out'`)
  await system.post('messenger', ofMessenger('7003', 'message', { mid: 'm_in_7003', text: 'hello' }))
  await system.untilSql('the reading', `SELECT 1 FROM message WHERE identity = 'messenger:7003' AND direction = 'out' AND state = 'read'`)
  const [ours] = await lines()
  const echo = (mid) => meta.sign({
    object: 'page', entry: [{ id: '555', time: Date.now(), messaging: [{ sender: { id: '555' }, recipient: { id: '7003' }, timestamp: Date.now(), message: { mid, is_echo: true, text: 'echo' } }] }],
  })
  await system.post('messenger', echo(ours.id))
  await system.post('messenger', echo('m_by_hand'))
  await system.untilSql('the line by hand', `SELECT 1 FROM message WHERE provider_message_id = 'm_by_hand'`)
  await done()
  assert.deepEqual((await lines()).map((row) => row.id).sort(), [ours.id, 'm_by_hand'].sort())
})
