// What happens at once: duplicates, albums, two nodes, a person reached from two lanes.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, whatsapp } from './support/providers.mjs'
import { System, freePort } from './support/system.mjs'

let system
let second

before(async () => {
  system = await System.start()
  const port = await freePort()
  await system.serve({ port, adminPort: await freePort() })
  second = `http://127.0.0.1:${port}`
})
after(() => system?.stop())

const settled = () => system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)', [], 60000)

test('two photos of each of fifty people at the same moment, on two nodes, open one conversation each', async () => {
  const people = Array.from({ length: 50 }, (_, number) => `1555200${String(number).padStart(4, '0')}`)
  const photo = (id) => ({ type: 'image', image: { id, mime_type: 'image/jpeg', sha256: 'AA==' } })
  const answers = await Promise.all(people.flatMap((person) => [
    system.post('whatsapp', whatsapp.message(person, photo('1'))),
    system.post('whatsapp', whatsapp.message(person, photo('2')), second),
  ]))
  assert.ok(answers.every((answer) => answer.status === 200))
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM identity WHERE identity LIKE 'whatsapp:1555200%'`), 50)
  assert.equal(await system.value('SELECT count(*)::int FROM conversation'), 50)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE direction = 'in' AND conversation_id IS NOT NULL`), 100)
})

test('one webhook delivered twenty times at once on two nodes is handled once', async () => {
  const webhook = whatsapp.message('15553000001', 'only once', { id: 'wamid.once' })
  const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => system.post('whatsapp', webhook, number % 2 ? second : system.url)))
  assert.ok(answers.every((answer) => answer.status === 200))
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE key = 'wamid.once'`), 1)
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE provider_message_id = 'wamid.once'`), 1)
})

test('a person who writes while their payment fails becomes one contact', async () => {
  const people = Array.from({ length: 20 }, (_, number) => `1555400${String(number).padStart(4, '0')}`)
  await Promise.all(people.flatMap((person) => [
    system.post('whatsapp', whatsapp.message(person, 'hello')),
    system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_' + person, phone: person })), second),
  ]))
  await settled()
  const counts = await system.rows(`SELECT count(DISTINCT contact_id)::int AS contacts FROM identity WHERE identity LIKE 'whatsapp:1555400%' OR identity LIKE 'stripe:cus_in_1555400%'`)
  assert.equal(counts[0].contacts, 20)
  assert.equal(await system.value(`SELECT count(*)::int FROM outreach WHERE reference LIKE 'in_1555400%'`), 20)
})

test('the messages of one person are handled in the order they were acknowledged', async () => {
  const person = '15555000001'
  for (let number = 1; number <= 40; number++) {
    const answer = await system.post('whatsapp', whatsapp.message(person, `message ${number}`, { id: `wamid.order.${number}` }), number % 2 ? second : system.url)
    assert.equal(answer.status, 200)
  }
  await settled()
  const texts = await system.rows(`SELECT m.text FROM message m JOIN handling h ON h.event_id = m.event_id WHERE m.provider_message_id LIKE 'wamid.order.%' ORDER BY h.handled_at, m.id`)
  assert.deepEqual(texts.map((row) => row.text), Array.from({ length: 40 }, (_, number) => `message ${number + 1}`))
})

test('nothing failed on the way', async () => {
  assert.equal(await system.value('SELECT count(*)::int FROM parked_event'), 0)
  assert.deepEqual(await system.rows(`SELECT rule, error FROM trace WHERE verdict NOT IN ('ran', 'skipped')`), [])
})
