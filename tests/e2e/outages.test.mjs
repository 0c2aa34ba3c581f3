// A provider or an endpoint that was out of order for hours works again: what failed at it does not wait for hours more.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { telegram } from './support/providers.mjs'
import { System } from './support/system.mjs'

const rules = (port) => `
endpoint "crm" { url = "http://127.0.0.1:${port}/hook", secret = "whsec_${Buffer.from('the secret of an endpoint').toString('base64')}" }
rule { name = "inbox", on = "message.received", priority = 100, run = function(e, fx) fx:open_conversation { topic = "support" } end }
rule { name = "echo", on = "message.received", run = function(e, fx)
  if e.message.text:match("^tell") then fx:webhook("crm", { said = e.message.text }) else e.conversation:send("echo " .. e.message.text) end
end }
`
let system, receiver
let status = 500
before(async () => {
  receiver = createServer((request, response) => request.resume().on('end', () => response.writeHead(status).end())).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  system = await System.start({ rules: null, files: { 'echo.lua': rules(receiver.address().port) } })
})
after(async () => {
  await system?.stop()
  receiver?.close()
})

const say = async (person, text) => assert.equal((await system.post('telegram', telegram.message(person, text))).status, 200)
const untilCount = (state, count, kind = 'message') =>
  system.untilSql(`${count} deliveries to be ${state}`, `SELECT 1 FROM delivery WHERE kind = '${kind}' HAVING count(*) FILTER (WHERE state = '${state}') = ${count}`)
// Hours pass while the node is away, and what was out of order works again.
async function comeBack(repair) {
  await system.stopNode(system.nodes[0])
  await system.rows(`UPDATE outbox SET due_at = now() + interval '5 hours' WHERE state = 'waiting' AND in_line AND attempts > 0`)
  await repair()
  await system.serve()
}

test('the first message that it takes brings the others along, each line in its order', async () => {
  await system.faults({ source: 'telegram', kind: 'server_error', times: -1 })
  for (const person of [779001, 779002, 779003, 779004, 779005]) await say(person, `from ${person}`)
  await untilCount('retrying', 5)
  await say(779001, 'and more')
  await untilCount('queued', 1)
  await comeBack(() => fetch(`${system.simulateUrl}/control/faults`, { method: 'DELETE' }))
  await say(779006, 'does it work?')
  await untilCount('sent', 7)
  const texts = (await system.sent()).map((entry) => entry.body.text)
  assert.equal(texts[0], 'echo does it work?')
  assert.equal(texts.length, 7)
  assert.ok(texts.indexOf('echo from 779001') < texts.indexOf('echo and more'))
})

test('the first call that an endpoint takes does so, too', async () => {
  for (const person of [779011, 779012, 779013]) await say(person, `tell ${person}`)
  await untilCount('retrying', 3, 'webhook')
  await comeBack(() => (status = 200))
  await say(779014, 'tell more')
  await untilCount('sent', 4, 'webhook')
})
