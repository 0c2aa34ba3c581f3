// kill -9 at random moments while customers write and pay: nothing acknowledged is lost, nothing is done twice.
//
// ANSWERD_SEED chooses the moments, ANSWERD_KILLS their number; both are printed, so that a failure can be played again.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, whatsapp } from './support/providers.mjs'
import { System, until } from './support/system.mjs'

const seed = Number(process.env.ANSWERD_SEED ?? Date.now() % 1e6)
const kills = Number(process.env.ANSWERD_KILLS ?? 8)
const people = Array.from({ length: 24 }, (_, number) => `1555600${String(number).padStart(4, '0')}`)
const messagesEach = 12

// A small generator of our own (mulberry32), because Math.random() cannot be seeded.
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}
const random = generator(seed)

let system
before(async () => {
  system = await System.start()
})
after(() => system?.stop())

// Delivers as a provider does: again and again until it is answered 200.
async function deliver(source, webhook) {
  await until('an answer', async () => {
    try {
      const answer = await system.post(source, webhook)
      if (answer.status === 200) return true
      assert.equal(answer.status, 503, 'only 503 is a reason to try again')
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
    }
    return false
  }, 60000)
}

test(`${kills} kills while ${people.length} people write and pay (ANSWERD_SEED=${seed})`, async () => {
  let traffic = true
  const customers = people.map(async (person, number) => {
    for (let count = 1; count <= messagesEach; count++) {
      await deliver('whatsapp', whatsapp.message(person, `message ${count}`, { id: `wamid.${person}.${count}` }))
      if (count === 4) await deliver('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_' + person, phone: person }), { id: 'evt_f' + person }))
      if (count === 8 && number % 2) await deliver('stripe', stripe.event('invoice.paid', { ...stripe.invoice({ id: 'in_' + person, phone: person }), status: 'paid' }, { id: 'evt_p' + person }))
      await new Promise((done) => setTimeout(done, random() * 150))
    }
  })
  const killer = (async () => {
    for (let count = 0; count < kills; count++) {
      await new Promise((done) => setTimeout(done, 50 + random() * 500))
      if (!traffic) break
      await system.stopNode(system.nodes[0], 'SIGKILL')
      await system.serve()
    }
  })()
  await Promise.all(customers)
  traffic = false
  await killer
  await system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)', [], 60000)
  // Who died is missed at once: this is less than the time that a sender may take.
  await system.untilSql('everything to leave that is not unknown', `SELECT NOT EXISTS (SELECT FROM outbox WHERE state <> 'unknown')`, [], 20000)
})

test('each acknowledged message is there once, in the one conversation of its person', async () => {
  const rows = await system.rows(`SELECT provider_message_id AS id, count(*)::int AS count FROM message WHERE direction = 'in' GROUP BY 1`)
  assert.equal(rows.length, people.length * messagesEach)
  assert.deepEqual(rows.filter((row) => row.count !== 1), [])
  assert.equal(await system.value(`SELECT count(*)::int FROM conversation WHERE topic = 'support'`), people.length)
  assert.equal(await system.value('SELECT count(*)::int FROM contact WHERE merged_into IS NULL'), people.length)
})

test('the effects of each event happened once and together', async () => {
  assert.equal(await system.value('SELECT count(*)::int FROM (SELECT event_id FROM handling GROUP BY 1 HAVING count(*) > 1) twice'), 0)
  // The provider's statuses come when they like, so the last ones may just have arrived.
  await system.untilSql('every event to be handled', 'SELECT NOT EXISTS (SELECT FROM event e WHERE NOT EXISTS (SELECT FROM handling h WHERE h.event_id = e.id))')
  const outreaches = await system.rows('SELECT reference, state FROM outreach ORDER BY reference')
  assert.deepEqual(outreaches.map((row) => row.state), people.map((_, number) => (number % 2 ? 'recovered' : 'active')))
  assert.equal(await system.value('SELECT count(*)::int FROM parked_event'), 0)
})

test('no request left twice, and what may have been sent is called unknown or settled', async () => {
  const seen = new Map()
  for (const entry of await system.sent()) {
    if (entry.source !== 'whatsapp') continue
    seen.set(entry.body.biz_opaque_callback_data, (seen.get(entry.body.biz_opaque_callback_data) ?? 0) + 1)
  }
  assert.deepEqual([...seen].filter(([, count]) => count > 1), [], 'a delivery reached the provider twice')
  const lost = await system.rows(`SELECT id, state, reason FROM delivery WHERE kind = 'message' AND state NOT IN ('sent', 'unknown', 'canceled')`)
  assert.deepEqual(lost, [], 'a delivery neither left nor is known as unknown')
  for (const { id } of await system.rows(`SELECT id::text FROM delivery WHERE kind = 'message' AND state = 'sent'`)) assert.ok(seen.has(id), `delivery ${id} says sent, the provider never saw it`)
})
