// Failed payments of people who never wrote to us, and of which the provider tells more than once.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'
import { stripe, telegram, whatsapp } from './support/providers.mjs'
import { System } from './support/system.mjs'

let system

const billingSecret = 'a secret of billing'
// What a billing system of the shop's own says, as an event of the customer.
const billingRules = `
rule {
  name = "billing", on = "webhook.billing", doc = "What billing says becomes an event of the customer.",
  when = function(e) return type(e.body.customer) == "table" end,
  run  = function(e, fx) fx:emit("dunning", { type = e.body.type }, { contact = { email = e.body.customer.email } }) end,
}
rule {
  name = "dunning", on = "custom.dunning", doc = "Tells colleagues.",
  run = function(e, fx) fx:open_conversation { topic = "billing" }:note(e.body.type) end,
}
`

before(async () => {
  system = await System.start({
    files: { 'billing.lua': billingRules },
    config: `source "billing" { kind = "hmac", signing_secrets = "${billingSecret}" }`,
  })
})
after(() => system?.stop())

const sentTo = async (person) => (await system.sent()).filter((entry) => entry.to === person)
const outreaches = (identity) => system.rows('SELECT o.* FROM outreach o JOIN identity i USING (contact_id) WHERE i.identity = $1', [identity])
const done = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')

test('a payer known by phone number alone gets the approved template on WhatsApp', async () => {
  await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_stranger', phone: '15551230001' })))
  await system.untilSql('the message to be delivered', `SELECT 1 FROM message m JOIN outreach o ON o.id = m.outreach_id WHERE o.reference = 'in_stranger' AND m.delivered_at IS NOT NULL`)
  const [entry, ...more] = await sentTo('+15551230001')
  assert.equal(more.length, 0)
  assert.equal(entry.body.type, 'template')
  assert.equal(entry.body.template.name, 'payment_failed_v1')
})

test('their answer is the same contact\'s', async () => {
  await system.post('whatsapp', whatsapp.message('15551230001', 'Thanks, I will look at it.'))
  await system.untilSql('the identity', `SELECT 1 FROM identity WHERE identity = 'whatsapp:15551230001'`)
  assert.equal(await system.value(`SELECT count(DISTINCT contact_id)::int FROM identity WHERE identity IN ('whatsapp:15551230001', 'phone:15551230001', 'stripe:cus_in_stranger')`), 1)
})

test('a payer known by a chat in the metadata gets the message there', async () => {
  await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_chat', email: 'alan@example.com', metadata: { telegram: '888001' } })))
  await system.untilSql('the message to be sent', `SELECT 1 FROM message m JOIN outreach o ON o.id = m.outreach_id WHERE o.reference = 'in_chat' AND m.state = 'sent'`)
  const [entry] = await sentTo('888001')
  assert.match(entry.body.text, /payment issue/)
})

// From API version 2025-03-31 on a payment intent does not name its invoice.
const intent = (id, { customer, amount = 1900, ...more }) => ({
  id, object: 'payment_intent', amount, currency: 'usd', customer, status: 'requires_payment_method',
  last_payment_error: { code: 'card_declined', decline_code: 'insufficient_funds' }, ...more,
})

for (const [first, person] of [['invoice', '15551230010'], ['payment_intent', '15551230011']]) {
  test(`a failed renewal is told once, the ${first} coming first`, async () => {
    await system.post('whatsapp', whatsapp.message(person, 'hello'))
    const customer = 'cus_' + person
    const events = {
      invoice: stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_' + person, phone: person, customer })),
      payment_intent: stripe.event('payment_intent.payment_failed', intent('pi_' + person, { customer, metadata: { whatsapp: person } })),
    }
    const second = first === 'invoice' ? 'payment_intent' : 'invoice'
    for (const name of [first, second]) assert.equal((await system.post('stripe', events[name])).status, 200)
    await done()
    const [outreach, ...more] = await outreaches('stripe:' + customer)
    assert.equal(more.length, 0)
    assert.deepEqual([outreach.reference, ...outreach.other_references].sort(), ['in_' + person, 'pi_' + person])
    assert.equal(await system.value('SELECT count(*)::int FROM message WHERE outreach_id = $1', [outreach.id]), 1)

    await system.post('stripe', stripe.event('invoice.paid', { ...stripe.invoice({ id: 'in_' + person, customer }), status: 'paid', amount_paid: 1900 }))
    await system.untilSql('the recovery', `SELECT 1 FROM outreach WHERE id = $1 AND state = 'recovered'`, [outreach.id])
  })
}

test('two invoices of one price are two', async () => {
  const person = '15551230012'
  await system.post('whatsapp', whatsapp.message(person, 'hello'))
  for (const number of [1, 2]) {
    await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: `in_${person}_${number}`, phone: person, customer: 'cus_' + person })))
  }
  await system.untilSql('both outreaches', `SELECT count(*) = 2 FROM outreach WHERE reference IN ('in_${person}_1', 'in_${person}_2')`)
})

test('a failure that arrives after its payment starts nothing, and says why', async () => {
  const person = '15551230020', now = Math.floor(Date.now() / 1000)
  const invoice = (type, more, created) => stripe.event(type, { ...stripe.invoice({ id: 'in_late', phone: person, customer: 'cus_late' }), ...more }, { id: `evt_late_${created}`, created })
  await system.post('whatsapp', whatsapp.message(person, 'hello'))
  await system.post('stripe', invoice('invoice.paid', { status: 'paid', amount_paid: 1900 }, now - 5))
  await done()
  await system.post('stripe', invoice('invoice.payment_failed', {}, now - 65))
  await done()
  assert.equal((await outreaches('stripe:cus_late')).length, 0)
  assert.match(await system.value(`SELECT effects #>> '{0,refused}' FROM trace WHERE rule = 'payment-recovery' AND event_id = (SELECT id FROM event WHERE key LIKE '%evt_late_${now - 65}%')`), /arrived late/)
  assert.equal((await sentTo('+' + person)).filter((entry) => /payment issue/.test(JSON.stringify(entry.body))).length, 0)

  // A failure of later is one.
  await system.post('stripe', invoice('invoice.payment_failed', {}, now))
  await system.untilSql('the outreach', `SELECT 1 FROM outreach WHERE reference = 'in_late'`)
})

// Whichever comes first: that they write, or the payment that says where they are written to.
for (const [which, chat, writesFirst] of [['who writes first', 777030, true], ['who writes after they were named', 777031, false]]) {
  test(`a number typed into a checkout does not make two people one: ${which}`, async () => {
    const number = '1555123' + String(chat).slice(2)
    const invoice = stripe.invoice({ id: `in_typo_${chat}`, phone: number, customer: `cus_typo_${chat}`, metadata: { telegram: String(chat) } })
    const events = [() => system.post('telegram', telegram.message(chat, 'hello')), () => system.post('stripe', stripe.event('invoice.payment_failed', invoice))]
    for (const post of writesFirst ? events : events.reverse()) {
      await post()
      await done()
    }
    await system.post('whatsapp', whatsapp.message(number, 'I am somebody else', { id: `wamid.typo_${chat}` }))
    await done()
    const owner = (identity) => system.value('SELECT contact_id FROM identity WHERE identity = $1', [identity])
    assert.notEqual(await owner(`telegram:${chat}`), await owner('whatsapp:' + number))
    assert.equal(await owner('phone:' + number), await owner('whatsapp:' + number))
    assert.equal(await owner(`stripe:cus_typo_${chat}`), await owner(`telegram:${chat}`))
  })
}

// What `curl -d` posts, it calls a form; a billing script in a shell does just that.
test('JSON that curl posts as it does by default is JSON for the rules, and a form is a form', async () => {
  const curl = (body, more = []) =>
    spawnSync('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '-d', body, '-H', `X-Signature: ${createHmac('sha256', billingSecret).update(body).digest('hex')}`,
      ...more, `${system.url}/webhooks/billing`], { encoding: 'utf8' })
  const event = '{"type":"dunning.failed","customer":{"email":"grace@example.com"},"link":"https://a.example/?x=1&y=2"}'
  const form = 'type=dunning.failed&customer=grace%40example.com&{"note"}=x'
  const broken = '{"type":"dunning.failed","customer":{"email":"gra'
  for (const [body, more] of [[event], [form], [broken], ['[{"type":"a"}]'], ['{"type":"said.so"}', ['-H', 'Content-Type: application/json']]]) {
    const sent = curl(body, more)
    assert.equal(sent.stdout, '200', sent.stderr)
  }
  await done()
  const bodies = (await system.rows(`SELECT doc -> 'body' AS body FROM event WHERE type = 'webhook.billing' ORDER BY id`)).map((row) => row.body)
  assert.deepEqual(bodies, [JSON.parse(event), { type: 'dunning.failed', customer: 'grace@example.com', '{"note"}': 'x' }, [{ type: 'a' }], { type: 'said.so' }])
  // The one that is cut off is kept as it came, and says why nothing became of it.
  const [kept, ...others] = await system.rows(`SELECT problem, convert_from(body, 'UTF8') AS body FROM webhook WHERE source = 'billing' AND problem IS NOT NULL`)
  assert.equal(others.length, 0)
  assert.match(kept.problem, /^not JSON: the text ends too early/)
  assert.equal(kept.body, broken)
  // And a rule reads its fields.
  const [{ text }] = await system.rows(`SELECT m.text FROM message m JOIN conversation c ON c.id = m.conversation_id JOIN identity i ON i.contact_id = c.contact_id WHERE i.identity = 'email:grace@example.com' AND m.direction = 'note'`)
  assert.equal(text, 'dunning.failed')
})
