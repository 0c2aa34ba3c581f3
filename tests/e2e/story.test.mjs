// A customer's story from the first message to the rating, each step with what must not happen beside it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, support, telegram, whatsapp } from './support/providers.mjs'
import { System } from './support/system.mjs'

const phone = '15550100'
let system
let contact

before(async () => {
  system = await System.start()
})
after(() => system?.stop())

test('a WhatsApp message opens a conversation and is acknowledged; statuses move the ledger', async () => {
  const answer = await system.post('whatsapp', whatsapp.message(phone, 'Hello, are you there?', { id: 'wamid.hello' }))
  assert.equal(answer.status, 200)
  contact = await system.untilSql('the contact', `SELECT contact_id FROM identity WHERE identity = 'whatsapp:${phone}'`)
  const conversations = await system.rows('SELECT * FROM conversation WHERE contact_id = $1', [contact])
  assert.equal(conversations.length, 1)
  assert.equal(conversations[0].state, 'open')
  const acknowledgement = await system.untilSql('the acknowledgement to be read', `SELECT to_jsonb(m) FROM message m WHERE contact_id = $1 AND direction = 'out' AND state = 'read'`, [contact])
  for (const time of ['queued_at', 'sent_at', 'delivered_at', 'read_at']) assert.ok(acknowledgement[time], time)
  const [request] = (await system.sent()).filter((sent) => sent.source === 'whatsapp')
  assert.equal(request.to, '+' + phone)
})

test('a failed payment of the same person is told to them once, on the channel they use', async () => {
  const webhook = stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_story', phone, email: 'ada@example.com' }), { id: 'evt_failed' })
  assert.equal((await system.post('stripe', webhook)).status, 200)
  const text = await system.untilSql('the outreach message', 'SELECT text FROM message WHERE contact_id = $1 AND outreach_id IS NOT NULL AND delivered_at IS NOT NULL', [contact])
  assert.equal(text, 'Hi Ada Lovelace, we noticed a payment issue with your subscription. Can we help resolve this?')

  const answers = await Promise.all([system.post('stripe', webhook), system.post('stripe', webhook)])
  assert.deepEqual(answers.map((answer) => answer.status), [200, 200])
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE key = 'evt_failed'`), 1)
  await system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')
  assert.equal(await system.value('SELECT count(*)::int FROM outreach WHERE contact_id = $1', [contact]), 1)
  assert.equal(await system.value('SELECT count(*)::int FROM message WHERE contact_id = $1 AND outreach_id IS NOT NULL', [contact]), 1)
})

test('a payment ends the outreach; no reminder is left', async () => {
  const webhook = stripe.event('invoice.paid', { ...stripe.invoice({ id: 'in_story', phone, email: 'ada@example.com' }), status: 'paid', amount_paid: 1900 })
  assert.equal((await system.post('stripe', webhook)).status, 200)
  const outreach = await system.untilSql('the recovery', `SELECT to_jsonb(o) FROM outreach o WHERE contact_id = $1 AND state = 'recovered'`, [contact])
  assert.ok(outreach.reached_at)
  assert.ok(outreach.ended_at)
  assert.equal(await system.value('SELECT count(*)::int FROM timer WHERE outreach_id = $1', [outreach.id]), 0)
  const [outcome] = await system.rows('SELECT * FROM outreach_outcomes')
  assert.equal(Number(outcome.recovered), 1)
})

test('with the window closed the same rule sends the approved template', async () => {
  const other = '15550111'
  const yesterday = Math.floor(Date.now() / 1000) - 30 * 3600
  await system.post('whatsapp', whatsapp.message(other, 'hello', { at: yesterday, name: 'Edsger' }))
  await system.untilSql('the contact', `SELECT 1 FROM identity WHERE identity = 'whatsapp:${other}'`)
  await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_closed', phone: other })))
  const request = await system.untilSql('the delivery', `SELECT d.sent_as FROM delivery d JOIN outreach o ON o.id = d.outreach_id WHERE o.reference = 'in_closed' AND d.state = 'sent'`)
  assert.equal(request, 'approved')
  const sent = (await system.sent()).filter((entry) => entry.to === '+' + other)
  assert.ok(sent.length > 0)
  for (const entry of sent) assert.equal(entry.body.type, 'template', 'no free text outside the window')
})

test('a purchase sends a welcome on Telegram', async () => {
  await system.post('telegram', telegram.message(777, '/start'))
  await system.post('stripe', stripe.event('checkout.session.completed', {
    id: 'cs_1', object: 'checkout.session', mode: 'payment', status: 'complete', payment_status: 'paid', customer: 'cus_grace', amount_total: 4900, currency: 'usd',
    customer_details: { email: 'grace@example.com', name: 'Grace Hopper', phone: null }, metadata: { telegram: '777' },
  }))
  await system.untilSql('the welcome', `SELECT 1 FROM message m JOIN identity i USING (contact_id) WHERE i.identity = 'telegram:777' AND m.direction = 'out' AND m.state = 'sent' AND m.text ILIKE '%welcome%'`)
  assert.equal(await system.value(`SELECT count(DISTINCT contact_id)::int FROM identity WHERE identity IN ('telegram:777', 'email:grace@example.com', 'stripe:cus_grace')`), 1)
})

test('a resolved ticket asks for a rating; the answers are stored and reopen nothing', async () => {
  const webhook = support.sign({ type: 'ticket.resolved', timestamp: new Date().toISOString(), data: { ticket: 'T-1', customer: { whatsapp: phone } } })
  assert.equal((await system.post('support', webhook)).status, 200)
  const survey = await system.untilSql('the survey', `SELECT jsonb_build_object('id', s.id, 'message', m.provider_message_id) FROM survey s JOIN message m ON m.id = s.message_id WHERE s.contact_id = $1 AND m.delivered_at IS NOT NULL`, [contact])
  assert.equal(await system.value(`SELECT count(*)::int FROM conversation WHERE contact_id = $1 AND state <> 'resolved'`, [contact]), 0)
  const request = (await system.sent()).find((entry) => entry.message_id === survey.message)
  assert.match(JSON.stringify(request.body), new RegExp(`survey:${survey.id}:4`))

  const tap = { type: 'interactive', context: { from: '15550783881', id: survey.message }, interactive: { type: 'list_reply', list_reply: { id: `survey:${survey.id}:4`, title: '4' } } }
  await system.post('whatsapp', whatsapp.message(phone, tap))
  await system.untilSql('the score', 'SELECT 1 FROM survey WHERE id = $1 AND score = 4', [survey.id])
  await system.post('whatsapp', whatsapp.message(phone, 'Quick and friendly!'))
  await system.untilSql('the comment', `SELECT 1 FROM survey WHERE id = $1 AND comment = 'Quick and friendly!'`, [survey.id])
  const [row] = await system.rows('SELECT * FROM csat_scores WHERE contact_id = $1', [contact])
  assert.equal(row.score, 4)
  assert.equal(row.comment, 'Quick and friendly!')
  assert.equal(await system.value(`SELECT count(*)::int FROM conversation WHERE contact_id = $1 AND state <> 'resolved'`, [contact]), 0)
})

test('a forged webhook gets 401 and leaves only its count', async () => {
  const before = await system.value(`SELECT count(*)::int FROM webhook WHERE source = 'stripe'`)
  const forged = stripe.sign({ id: 'evt_forged', object: 'event', type: 'invoice.paid', data: { object: {} } }, { secret: 'whsec_wrong' })
  assert.equal((await system.post('stripe', forged)).status, 401)
  assert.equal((await system.post('nobody', forged)).status, 401)
  await system.untilSql('the count', `SELECT 1 FROM webhook_reject WHERE source = 'stripe' AND count >= 1`)
  assert.equal(await system.value(`SELECT count(*)::int FROM webhook WHERE source = 'stripe'`), before)
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE key = 'evt_forged'`), 0)
})

test('nothing is left undone', async () => {
  await system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox)')
  assert.equal(await system.value('SELECT count(*)::int FROM parked_event'), 0)
  assert.deepEqual(await system.rows(`SELECT rule, error FROM trace WHERE verdict NOT IN ('ran', 'skipped')`), [])
})
