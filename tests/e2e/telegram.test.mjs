// What Telegram alone does: taps that wait for an answer, and people who block the bot.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { telegram } from './support/providers.mjs'
import { System } from './support/system.mjs'

let system

before(async () => {
  system = await System.start()
})
after(() => system?.stop())

const post = (webhook) => fetch(`${system.url}/webhooks/telegram`, { method: 'POST', ...webhook })
const say = (what) => fetch(`${system.simulateUrl}/control/say`, { method: 'POST', body: JSON.stringify({ source: 'telegram', ...what }) })
const contact = (person) => system.value(`SELECT to_jsonb(c) FROM contact c JOIN identity i ON i.contact_id = c.id WHERE i.identity = 'telegram:${person}'`)
const address = (person) => system.value(`SELECT to_jsonb(a) FROM address a WHERE identity = 'telegram:${person}'`)

test('a tap is answered in the answer to its webhook, each time it comes', async () => {
  const tap = telegram.tap(901, 'some:button')
  const { callback_query: { id } } = JSON.parse(tap.body)
  for (let copy = 0; copy < 2; copy++) {
    const answer = await post(tap)
    assert.equal(answer.status, 200)
    assert.match(answer.headers.get('content-type'), /^application\/json/)
    assert.deepEqual(await answer.json(), { method: 'answerCallbackQuery', callback_query_id: id })
  }
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE type = 'message.button' AND doc #>> '{message,callback_query_id}' = $1`, [id]), 1)
})

test('other updates get an empty answer', async () => {
  const answer = await post(telegram.message(901, 'hello'))
  assert.equal(answer.status, 200)
  assert.equal(await answer.text(), '')
})

test('the simulated Telegram executes the method in the answer', async () => {
  assert.equal((await (await say({ from: 902, button: { id: 'y', text: 'Yes' } })).json()).status, 200)
  const [call] = await (await fetch(`${system.simulateUrl}/control/methods?source=telegram`)).json()
  assert.equal(call.method, 'answerCallbackQuery')
  assert.equal(call.via, 'answer')
  assert.equal(call.problem, undefined)
})

test('who blocks the bot cannot be reached there, and has opted out of nothing else', async () => {
  await say({ from: 903, text: 'hello' })
  await system.untilSql('the acknowledgement', `SELECT 1 FROM message WHERE identity = 'telegram:903' AND direction = 'out' AND state = 'sent'`)
  await say({ from: 903, blocked: true })
  await system.untilSql('the block', `SELECT 1 FROM address WHERE identity = 'telegram:903' AND unreachable_reason = 'blocked'`)
  assert.deepEqual((await contact(903)).opted_out, [])
  await say({ from: 903, blocked: false })
  await system.untilSql('the end of the block', `SELECT 1 FROM address WHERE identity = 'telegram:903' AND unreachable_at IS NULL`)
})

test('unblocking takes back no STOP', async () => {
  await say({ from: 904, text: 'STOP' })
  await system.untilSql('the opt-out', `SELECT 1 FROM contact c JOIN identity i ON i.contact_id = c.id WHERE i.identity = 'telegram:904' AND 'all' = ANY (c.opted_out)`)
  await say({ from: 904, blocked: true })
  await system.untilSql('the block', `SELECT 1 FROM address WHERE identity = 'telegram:904' AND unreachable_at IS NOT NULL`)
  await say({ from: 904, blocked: false })
  await system.untilSql('the end of the block', `SELECT 1 FROM address WHERE identity = 'telegram:904' AND unreachable_at IS NULL`)
  assert.deepEqual((await contact(904)).opted_out, ['all'])
  assert.equal((await address(904)).unreachable_reason, null)
})
