// Nodes that are not alike for a while: rules and configurations reach one after the other, and nothing may suffer from it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { freePort } from './support/ports.mjs'
import { telegram } from './support/providers.mjs'
import { secondBot } from './support/second_bot.mjs'
import { System, until } from './support/system.mjs'

const person = 777001
const rules = `
rule { name = "inbox", on = "message.received", priority = 100, run = function(e, fx) fx:open_conversation { topic = "support" } end }
rule { name = "answer", on = "message.received", run = function(e, fx)
  e.conversation:send("answer to " .. e.message.text)
end }
`
let system
before(async () => {
  system = await System.start({
    rules: null,
    files: { 'answer.lua': rules },
    serve: false,
    config: secondBot.config,
  })
})
after(() => system?.stop())

const another = async (args, environment) =>
  system.serve({ port: await freePort(), adminPort: await freePort(), args, environment: { ...environment } })

test('a message waits for a node whose configuration has its source already', async () => {
  await system.serve({ args: ['--roles', 'ingest,engine'], environment: secondBot.environment })
  const before = await another(['--roles', 'deliver'], {})
  assert.equal((await system.post('second', telegram.message(person, 'hello'))).status, 200)
  await system.untilSql('a node that does not know its source to have had it', `SELECT 1 FROM delivery_log WHERE error_code = 'no_source'`)
  const [waiting] = await system.rows(`SELECT state, attempts, reason, next_attempt_at IS NOT NULL AS waits FROM delivery_log`)
  assert.deepEqual(waiting, { state: 'queued', attempts: 0, reason: 'the configuration has no such source that can send', waits: true })
  const next = await another(['--roles', 'deliver'], secondBot.environment)
  await system.stopNode(before)
  await system.untilSql('the answer to leave', `SELECT 1 FROM delivery_log WHERE state = 'sent' AND error_code IS NULL AND reason IS NULL`)
  assert.deepEqual((await system.sent()).map((entry) => entry.body.text), ['answer to hello'])
  await system.stopNode(next)
})
