// A process that stands still while the database gives it messages to send, for longer than their lease: when it goes on,
// they are no longer its own.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { freePort, System } from './support/system.mjs'

const person = '15558100001'
const other = '15558100002'
let system

before(async () => {
  system = await System.start({
    rules: null,
    deliverSettings: 'timeout = "1s", settle = "1s"',
    files: {
      'echo.lua': `rule { name = "echo", doc = "Says back what was said.", on = "message.received", run = function(e, fx)
        fx:open_conversation { topic = "support" }:send { text = "echo " .. e.message.text, on_unknown = "resend" } end }`,
    },
  })
})
after(() => system?.stop())

const sentTo = async (who) => (await system.sent()).filter((entry) => entry.to === '+' + who).map((entry) => entry.body.text.body)
const untilState = (text, wanted) => system.untilSql(`${text} to be ${wanted}`, `SELECT 1 FROM delivery AS d JOIN message AS m ON m.id = d.message_id WHERE m.text = $1 AND d.state = $2`, [text, wanted])

test('what a frozen sender was given, and another one has sent meanwhile, it does not send once more', async () => {
  const [frozen] = system.nodes
  await system.faults({ source: 'whatsapp', kind: 'no_status' })
  const gate = await system.db.connect()
  await gate.query('BEGIN; LOCK TABLE source_pace IN EXCLUSIVE MODE') // every claim waits for it
  await system.post('whatsapp', whatsapp.message(person, 'hello'))
  await system.untilSql('the claim', `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'answerd deliver' AND wait_event_type = 'Lock'`)
  frozen.kill('SIGSTOP')
  await gate.query('COMMIT')
  gate.release()
  await untilState('echo hello', 'sending')

  const another = await system.serve({ port: await freePort(), adminPort: await freePort(), args: ['--roles', 'deliver'] })
  await untilState('echo hello', 'sent') // after the lease, and the time that the provider has to tell
  assert.deepEqual(await sentTo(person), ['echo hello'])
  await system.stopNode(another)

  frozen.kill('SIGCONT')
  await system.post('whatsapp', whatsapp.message(other, 'hello there'))
  await untilState('echo hello there', 'sent')
  assert.deepEqual(await sentTo(person), ['echo hello'])
})
