// A source that only one of two nodes has yet: the other one handles its events, and leaves the sending to who can.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { freePort } from './support/ports.mjs'
import { telegram } from './support/providers.mjs'
import { secondBot } from './support/second_bot.mjs'
import { System } from './support/system.mjs'

const person = 778001
const rules = `
rule { name = "inbox", on = "message.received", priority = 100, run = function(e, fx) fx:open_conversation { topic = "support" } end }
rule { name = "answer", on = "message.received", run = function(e, fx)
  e.conversation:send("answer to " .. e.message.text)
  if e.source == "second" then e.conversation:after("1h", "later") end
end }
rule { name = "later", on = "timer.later", run = function(e, fx) e.conversation:send("are you still there?") end }
`
let system, knows, other
before(async () => {
  system = await System.start({
    rules: null,
    files: { 'answer.lua': rules },
    serve: false,
    config: secondBot.config,
  })
  const port = await freePort()
  other = `http://127.0.0.1:${port}`
  await system.serve({ port, adminPort: await freePort() })
  knows = await system.serve({ args: ['--roles', 'ingest,deliver'], environment: secondBot.environment })
})
after(() => system?.stop())

const textsSent = async () => (await system.sent()).map((entry) => entry.body.text)

test('what came in at the one is answered by the other, through the first', async () => {
  assert.equal((await system.post('second', telegram.message(person, 'hello'))).status, 200)
  await system.untilSql('the answer to leave', `SELECT 1 FROM delivery_log WHERE state = 'sent'`)
  assert.deepEqual(await textsSent(), ['answer to hello'])
  assert.deepEqual(await system.rows(`SELECT source, identity FROM conversation`), [{ source: 'second', identity: `telegram:${person}` }])
})

test('who cannot send to it leaves that to who can', async () => {
  knows.kill('SIGSTOP')
  try {
    await system.rows(`UPDATE timer SET due_at = now()`)
    await system.untilSql('the timer to be handled', `SELECT 1 FROM event_log WHERE type = 'timer.later' AND handled_at IS NOT NULL`)
    assert.equal((await system.post('telegram', telegram.message(person + 1, 'meanwhile'), other)).status, 200)
    await system.untilSql('its own answer to leave', `SELECT 1 FROM delivery_log WHERE state = 'sent' AND source = 'telegram'`)
    assert.deepEqual(await system.rows(`SELECT state, attempts, error_code FROM delivery_log WHERE source = 'second' AND state <> 'sent'`), [
      { state: 'queued', attempts: 0, error_code: null },
    ])
  } finally {
    knows.kill('SIGCONT')
  }
  await system.untilSql('it to leave', `SELECT 1 FROM delivery_log HAVING count(*) FILTER (WHERE state = 'sent') = 3`)
  assert.deepEqual(await textsSent(), ['answer to hello', 'answer to meanwhile', 'are you still there?'])
})
