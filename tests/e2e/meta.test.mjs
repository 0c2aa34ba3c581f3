// What Meta's webhooks hold beyond messages for us: what another number of the same app receives.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System } from './support/system.mjs'

let system

before(async () => {
  system = await System.start()
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
