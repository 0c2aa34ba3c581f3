// What becomes of messages when the process that sends them dies, loses its database, or is told to stop.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { freePort, System, until } from './support/system.mjs'

const endpointSecret = 'whsec_' + Buffer.from('the secret of an endpoint that is gone').toString('base64')
let system
let receiver
let called = 0

before(async () => {
  receiver = createServer((request, response) => {
    called++
    request.resume().on('end', () => response.writeHead(410).end())
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  system = await System.start({
    rules: null,
    deliverSettings: 'timeout = "30s"',
    files: {
      'echo.lua': `
endpoint "gone" { url = "http://127.0.0.1:${receiver.address().port}/hook", secrets = { "${endpointSecret}" } }
rule {
  name = "echo", doc = "Says back what was said.", on = { "message.received" },
  run = function(e, fx)
    local conversation = fx:open_conversation { topic = "support" }
    if e.message.text == "tell" then
      fx:webhook("gone", { said = e.message.text })
    else
      conversation:send { text = "echo " .. e.message.text, on_unknown = e.message.text:match("resend") or "hold" }
    end
  end,
}
rule {
  name = "alarm", doc = "Notes what a person must look at.", on = { "custom.system_alert" },
  run = function(e, fx) end,
}
`,
    },
  })
})
after(async () => {
  await system?.stop()
  receiver?.close()
})

// What is claimed is somebody's for the time-out of the call and half a minute more: what is soon does not wait for that.
const soon = 45000
const say = (person, text) => system.post('whatsapp', whatsapp.message(person, text))
const sentTo = async (person) => (await system.sent()).filter((entry) => entry.to === '+' + person).map((entry) => entry.body.text.body)
const state = (text) => system.value(`SELECT d.state || ' ' || m.state FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.text = $1`, [text])
const untilState = (text, wanted, patience) => until(`${text} to be ${wanted}`, async () => (await state(text)) === wanted, patience)

// A send that the provider takes and keeps us waiting for; its statuses come to nobody.
async function hang(person, text, ms) {
  await system.faults({ source: 'whatsapp', kind: 'slow', ms, times: 1 })
  await system.faults({ source: 'whatsapp', kind: 'no_status', times: 1 })
  await say(person, text)
  await until(`the provider to have ${text}`, async () => (await sentTo(person)).includes(`echo ${text}`))
  assert.equal(await state(`echo ${text}`), 'sending sending')
}
const another = async () => system.serve({ port: await freePort(), adminPort: await freePort(), args: ['--roles', 'deliver'] })

test('a killed sender is missed at once by the other nodes, and nobody waits behind what it left', async () => {
  await hang('15558000001', 'before the kill', 60000)
  await say('15558000001', 'behind it')
  await untilState('echo behind it', 'queued queued')
  const survivor = await another()
  await system.stopNode(system.nodes[0], 'SIGKILL')
  await untilState('echo before the kill', 'unknown unknown', soon)
  await untilState('echo behind it', 'sent sent', soon)
  assert.deepEqual(await sentTo('15558000001'), ['echo before the kill', 'echo behind it'])
  await system.stopNode(survivor)
  await system.serve()
})

test('the node that comes back after a kill knows at its start', async () => {
  await hang('15558000002', 'alone', 60000)
  await say('15558000002', 'behind alone')
  await system.stopNode(system.nodes[0], 'SIGKILL')
  await system.serve()
  await untilState('echo alone', 'unknown unknown', soon)
  await untilState('echo behind alone', 'sent sent', soon)
  assert.deepEqual(await sentTo('15558000002'), ['echo alone', 'echo behind alone'])
})

test('what may be sent again keeps its place until it is settled', async () => {
  await hang('15558000003', 'resend it', 60000)
  await say('15558000003', 'behind resend')
  await system.stopNode(system.nodes[0], 'SIGKILL')
  await system.serve()
  await untilState('echo resend it', 'unknown unknown', soon)
  await say('15558000004', 'somebody else')
  await untilState('echo somebody else', 'sent sent')
  assert.equal(await state('echo behind resend'), 'queued queued')
})

test('a sender that only lost its connection tells the truth when it is back', async () => {
  const witness = await another()
  await hang('15558000005', 'long answer', 8000)
  // Only one of the two nodes has it in hand; whichever it is, the other one takes it for dead.
  await system.rows(`SELECT pg_terminate_backend(a.pid) FROM outbox o
    JOIN pg_locks l ON l.locktype = 'advisory' AND l.classid = 4206 AND l.objid = o.claimed_by::oid
    JOIN pg_stat_activity a ON a.pid = l.pid
    JOIN message m ON m.id = o.message_id WHERE m.text = 'echo long answer'`)
  await untilState('echo long answer', 'sent sent')
  assert.deepEqual(await sentTo('15558000005'), ['echo long answer'])
  const attempts = await system.rows(`SELECT a.outcome FROM attempt a JOIN delivery d ON d.id = a.delivery_id JOIN message m ON m.id = d.message_id WHERE m.text = 'echo long answer'`)
  assert.deepEqual(attempts, [{ outcome: 'sent' }])
  await system.stopNode(witness)
})

test('a send that hangs while the server stops is recorded as unknown within the time of a call', async () => {
  await hang('15558000006', 'at the stop', 60000)
  assert.equal(await system.stopNode(system.nodes[0]), 0)
  assert.equal(await state('echo at the stop'), 'unknown unknown') // the provider's answer would have made it sent
  await system.serve()
})

test('an endpoint that is gone is disabled, and one alert says so', async () => {
  await say('15558000007', 'tell')
  await system.untilSql('the endpoint to be disabled', `SELECT 1 FROM source_pace WHERE source = 'endpoint gone' AND paused_until = 'infinity'`)
  await say('15558000007', 'tell')
  await say('15558000008', 'tell')
  await system.untilSql('the work to be done', 'SELECT count(*) = 3 AND NOT EXISTS (SELECT FROM work) FROM delivery WHERE kind = $1', ['webhook'])
  await say('15558000008', 'something else')
  await untilState('echo something else', 'sent sent')
  assert.equal(called, 1, 'nothing is sent to it any more')
  assert.deepEqual(await system.rows(`SELECT doc->'body'->>'problem' AS problem, doc->'body'->>'source' AS source FROM event WHERE type = 'custom.system_alert'`), [{ problem: 'endpoint_gone', source: 'gone' }])
  assert.deepEqual(await system.rows(`SELECT state, count(*)::int FROM delivery WHERE kind = 'webhook' GROUP BY 1 ORDER BY 1`), [{ state: 'failed', count: 1 }, { state: 'queued', count: 2 }])
})

test('a number that is held back for spam is tried again, and a person is told', async () => {
  await system.faults({ source: 'whatsapp', kind: 'refuse', code: 131048 })
  await say('15558000009', 'too many')
  await system.untilSql('the alert', `SELECT 1 FROM event WHERE type = 'custom.system_alert' AND doc->'body'->>'problem' = 'channel_limited' AND doc->'body'->>'code' = '131048'`)
  await system.untilSql('the next try', `SELECT 1 FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.text = 'echo too many' AND d.state = 'retrying'`)
})

const logged = (pattern) => until(String(pattern), () => system.nodes.some((node) => pattern.test(node.log)))

// A new trigger locks all partitions, against the order of whoever is at work: once more, then.
const addTrigger = (sql) => until('the trigger', () => system.rows(sql).then(() => true, (error) => {
  if (error.code !== '40P01') throw error
}))

test('an alert that the database does not take is raised when it does', async () => {
  await system.rows(`CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$`)
  await addTrigger(`CREATE TRIGGER no_room BEFORE INSERT ON event FOR EACH ROW WHEN (new.type = 'custom.system_alert') EXECUTE FUNCTION no_room()`)
  const down = () => system.value(`SELECT count(*)::int FROM event WHERE type = 'custom.system_alert' AND doc->'body'->>'problem' = 'channel_down'`)
  await system.faults({ source: 'whatsapp', kind: 'refuse', code: 190, times: 1 })
  await say('15558000010', 'no token')
  await logged(/a target of messages is down.*target=.?whatsapp/)
  await logged(/database trouble.*raising an alert/)
  assert.equal(await down(), 0)
  await system.rows('CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$')
  await until('the alert', async () => (await down()) === 1)
  await logged(/the provider limits a target of messages.*131048/)
  await system.rows(`UPDATE source_pace SET paused_until = NULL WHERE source = 'whatsapp'`)
})

test('one delivery that cannot be settled is told, and the others are settled', async () => {
  await hang('15558000011', 'poisonous', 60000)
  await hang('15558000012', 'wholesome', 60000)
  const id = await system.value(`SELECT d.id::text FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.text = 'echo poisonous'`)
  await system.rows(`CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '22023'; END $$`)
  await addTrigger(`CREATE TRIGGER refuse_one BEFORE UPDATE ON delivery FOR EACH ROW WHEN (new.id = ${id} AND new.state = 'unknown') EXECUTE FUNCTION refuse_one()`)
  for (const node of [...system.nodes]) await system.stopNode(node, 'SIGKILL')
  await system.serve()
  await untilState('echo wholesome', 'unknown unknown')
  await logged(new RegExp(`a delivery cannot be settled.*delivery=${id} .*not this one`))
  assert.equal(await state('echo poisonous'), 'sending sending')
  await system.rows('CREATE OR REPLACE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$')
  await untilState('echo poisonous', 'unknown unknown')
})

// The provider has both and answers; the outcome of one cannot be recorded, for longer than a conflict usually lasts.
test('outcomes that meet a conflict that lasts are recorded one by one, and the one in conflict is kept until it can be', async () => {
  await system.rows(`CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM message WHERE id = new.message_id AND text = 'echo stuck') THEN RAISE EXCEPTION 'somebody is in the way' USING ERRCODE = '40001'; END IF;
    RETURN new; END $$`)
  await addTrigger(`CREATE TRIGGER not_now BEFORE UPDATE ON delivery FOR EACH ROW WHEN (new.state = 'sent') EXECUTE FUNCTION not_now()`)
  await hang('15558000013', 'stuck', 6000)
  await hang('15558000014', 'free', 6000)
  const id = await system.value(`SELECT d.id::text FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.text = 'echo stuck'`)
  await untilState('echo free', 'sent sent', soon)
  assert.equal(await state('echo stuck'), 'sending sending')
  await logged(/a step of deliver meets the same conflict again and again.*during=.?recording.*sqlstate=40001/)
  await logged(new RegExp(`an outcome is in conflict, it is tried again.*delivery=${id} .*somebody is in the way`))
  await say('15558000015', 'later')
  await untilState('echo later', 'queued queued')
  await system.rows('CREATE OR REPLACE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$')
  await untilState('echo stuck', 'sent sent', soon)
  await untilState('echo later', 'sent sent', soon)
  await logged(/the conflict is over.*during=.?recording/)
  for (const person of ['15558000013', '15558000014']) assert.equal((await sentTo(person)).length, 1, 'nothing leaves twice')
})
