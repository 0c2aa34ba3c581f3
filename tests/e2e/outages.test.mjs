// A provider that was out of order for hours works again: what failed at it does not wait for hours more.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { telegram } from './support/providers.mjs'
import { System } from './support/system.mjs'

const rules = `
rule { name = "inbox", on = "message.received", priority = 100, run = function(e, fx) fx:open_conversation { topic = "support" } end }
rule { name = "echo", on = "message.received", run = function(e, fx) e.conversation:send("echo " .. e.message.text) end }
`
let system
before(async () => (system = await System.start({ rules: null, files: { 'echo.lua': rules } })))
after(() => system?.stop())

const say = async (person, text) => assert.equal((await system.post('telegram', telegram.message(person, text))).status, 200)
const untilCount = (state, count) =>
  system.untilSql(`${count} deliveries to be ${state}`, `SELECT 1 FROM delivery HAVING count(*) FILTER (WHERE state = '${state}') = ${count}`)

test('the first message that it takes brings the others along, each line in its order', async () => {
  await system.faults({ source: 'telegram', kind: 'server_error', times: -1 })
  for (const person of [779001, 779002, 779003, 779004, 779005]) await say(person, `from ${person}`)
  await untilCount('retrying', 5)
  await say(779001, 'and more')
  await untilCount('queued', 1)
  await system.stopNode(system.nodes[0])
  await system.rows(`UPDATE outbox SET due_at = now() + interval '5 hours' WHERE state = 'waiting' AND in_line AND attempts > 0`)
  await fetch(`${system.simulateUrl}/control/faults`, { method: 'DELETE' })
  await system.serve()
  await say(779006, 'does it work?')
  await untilCount('sent', 7)
  const texts = (await system.sent()).map((entry) => entry.body.text)
  assert.equal(texts[0], 'echo does it work?')
  assert.equal(texts.length, 7)
  assert.ok(texts.indexOf('echo from 779001') < texts.indexOf('echo and more'))
})
