// What becomes of messages when providers misbehave, and of webhooks that we send.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { telegram, whatsapp } from './support/providers.mjs'
import { System, project, until } from './support/system.mjs'

const endpointSecret = 'whsec_' + Buffer.from('the secret of our outgoing endpoint').toString('base64')
let system
let receiver
const received = []
let receiverStatus = 200
let goneStatus = 410

before(async () => {
  receiver = createServer((request, response) => {
    let body = ''
    request.on('data', (data) => (body += data))
    request.on('end', () => {
      const { said } = JSON.parse(body).data
      const status = said === 'tell: poison' ? 400 : said === 'tell: gone' ? goneStatus : receiverStatus
      received.push({ headers: request.headers, body, status })
      response.writeHead(status).end()
    })
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  system = await System.start({
    rules: null,
    files: {
      'echo.lua': `
endpoint "crm" { url = "http://127.0.0.1:${receiver.address().port}/hook", secrets = { "${endpointSecret}" } }
rule {
  name = "echo", doc = "Says back what was said.", on = { "message.received" },
  run = function(e, fx)
    local conversation = fx:open_conversation { topic = "support" }
    conversation:send { text = "echo " .. (e.message.text or "") }
    if is(e.message.text:sub(1, 4), "tell") then fx:webhook("crm", { said = e.message.text }) end
    if e.message.text == "later" then conversation:after("1s", "late") end
  end,
}
template "answer" { text = "Hi {{name}}", whatsapp = { name = "answer_v1", parameters = { first_name = "name" } } }
rule {
  name = "answer", doc = "Answers by a template.", on = "message.received", priority = -1,
  when = function(e) return e.message.text == "template" end,
  run = function(e) e.conversation:send { template = "answer", vars = { name = "Ada" } } end,
}
rule {
  name = "late", doc = "Writes outside the window.", on = { "timer.late" },
  run = function(e) e.conversation:send { text = "too late" } end,
}
`,
    },
  })
})
after(async () => {
  await system?.stop()
  receiver?.close()
})

const say = (person, text, options) => system.post('whatsapp', whatsapp.message(person, text, options))
const delivery = (person, condition, patience) =>
  system.untilSql(condition, `SELECT to_jsonb(d) FROM delivery d WHERE identity = 'whatsapp:${person}' AND ${condition}`, [], patience)
const sentTo = async (person) => (await system.sent()).filter((entry) => entry.to === '+' + person)

test('a rate limit of the provider is waited out', async () => {
  await system.faults({ source: 'whatsapp', kind: 'rate_limit', times: 1 })
  await say('15557000001', 'limited')
  const row = await delivery('15557000001', `d.state = 'sent'`, 60000)
  assert.equal(row.attempts, 2)
  assert.equal(await system.value('SELECT count(*)::int FROM attempt WHERE delivery_id = $1', [row.id]), 2)
})

test('a send whose answer is lost is not sent again: the status with our echo settles it', async () => {
  await system.faults({ source: 'whatsapp', kind: 'drop_answer', times: 1 })
  await say('15557000002', 'lost answer')
  await delivery('15557000002', `d.state = 'sent' AND d.provider_message_id IS NOT NULL`)
  await system.untilSql('the ledger to move on', `SELECT 1 FROM message WHERE identity = 'whatsapp:15557000002' AND direction = 'out' AND delivered_at IS NOT NULL`)
  assert.equal((await sentTo('15557000002')).length, 1)
})

test('a message that can never arrive fails with the code of the provider', async () => {
  await system.faults({ source: 'whatsapp', kind: 'refuse', code: 131026, times: 1 })
  await say('15557000003', 'refused')
  const row = await delivery('15557000003', `d.state = 'failed'`)
  assert.equal(row.error_code, '131026')
  assert.equal(await system.value(`SELECT state FROM message WHERE identity = 'whatsapp:15557000003' AND direction = 'out'`), 'failed')
})

test('no free text leaves outside the window, and the reason is recorded', async () => {
  const long_ago = Math.floor(Date.now() / 1000) - 25 * 3600
  await say('15557000004', 'an old message', { at: long_ago })
  const row = await delivery('15557000004', `d.state = 'blocked'`)
  assert.match(row.reason, /window/)
  assert.equal((await sentTo('15557000004')).length, 0)
})

// Meta's 131047 comes at once, or after the message was taken.
for (const [person, kind] of [['15557000008', 'refuse'], ['15557000009', 'fail_status']]) {
  test(`what WhatsApp refuses for its window goes as the approved template, once (${kind})`, async () => {
    await say(person, 'first')
    await delivery(person, `d.state = 'sent'`)
    await system.faults({ source: 'whatsapp', kind, code: 131047, times: 1 })
    await system.faults({ source: 'whatsapp', kind, code: 131047, times: 1 })
    await say(person, 'template')
    await delivery(person, `d.sent_as = 'approved' AND d.state = 'sent'`)
    const told = await system.rows(`SELECT text, state, error_code FROM message WHERE identity = 'whatsapp:${person}' AND direction = 'out' ORDER BY created_at, id`)
    assert.deepEqual(told.slice(1, 3).map(({ text, state, error_code }) => [text, state, error_code]),
      [['echo template', 'failed', '131047'], ['Hi Ada', 'failed', '131047']])
    await system.untilSql('the template to arrive', `SELECT 1 FROM message WHERE identity = 'whatsapp:${person}' AND text = 'Hi Ada' AND state = 'read' AND content ? 'replaces'`)
    const [approved, ...others] = (await sentTo(person)).filter((entry) => entry.body.type === 'template')
    assert.equal(others.length, 0)
    assert.deepEqual(approved.body.template, { name: 'answer_v1', language: { code: 'en' },
      components: [{ type: 'body', parameters: [{ type: 'text', parameter_name: 'first_name', text: 'Ada' }] }] })
    const traced = await system.rows(`SELECT effect->>'do' AS what FROM trace, jsonb_array_elements(effects) AS effect
      WHERE rule = 'answerd.window' AND effect->'made' ? 'message'
        AND effect->>'instead_of' = (SELECT id::text FROM message WHERE identity = 'whatsapp:${person}' AND text = 'Hi Ada' AND state = 'failed')`)
    assert.deepEqual(traced, [{ what: 'send_approved' }])
  })
}

test('messages to one person leave in order', async () => {
  await system.faults({ source: 'whatsapp', kind: 'rate_limit', times: 1 })
  for (const number of [1, 2, 3]) await say('15557000005', `number ${number}`)
  await system.untilSql('three deliveries', `SELECT count(*) = 3 FROM delivery WHERE identity = 'whatsapp:15557000005' AND state = 'sent'`, [], 60000)
  assert.deepEqual((await sentTo('15557000005')).map((entry) => entry.body.text.body), ['echo number 1', 'echo number 2', 'echo number 3'])
})

test('Telegram messages carry the provider id of the answer', async () => {
  await system.post('telegram', telegram.message(4711, 'hi'))
  await system.untilSql('the message', `SELECT provider_message_id FROM message WHERE identity = 'telegram:4711' AND direction = 'out' AND state = 'sent'`)
})

test('an outgoing webhook is signed so that the Standard Webhooks library accepts it, and is retried', async () => {
  receiverStatus = 500
  await say('15557000006', 'tell')
  await system.untilSql('a first attempt', `SELECT 1 FROM attempt a JOIN delivery d ON d.id = a.delivery_id WHERE d.kind = 'webhook'`)
  receiverStatus = 200
  await system.untilSql('the webhook to be delivered', `SELECT 1 FROM delivery WHERE kind = 'webhook' AND state = 'sent'`, [], 60000)
  assert.ok(received.length >= 2)
  assert.equal(new Set(received.map((request) => request.headers['webhook-id'])).size, 1, 'the id stays the same over the attempts')
  assert.equal(new Set(received.map((request) => String(request.body))).size, 1, 'and so does the body')
  assert.ok(new Set(received.map((request) => request.headers['webhook-timestamp'])).size > 1, 'the time is that of the attempt')
  const happened = await system.value(`SELECT occurred_at FROM event_log JOIN delivery d USING (event_id) WHERE d.kind = 'webhook'`)
  assert.equal(JSON.parse(received[0].body).timestamp, happened.toISOString())
  for (const request of received) {
    const body = new Webhook(endpointSecret).verify(request.body, request.headers)
    assert.equal(body.data.said, 'tell')
  }
})

test('what an endpoint refuses of one customer holds up nobody else, and their own only', async () => {
  await say('15557000007', 'tell: poison')
  await system.untilSql('a refusal', `SELECT 1 FROM attempt WHERE error_code = '400'`)
  await say('15557000007', 'tell: behind it')
  await say('15557000008', 'tell: another')
  const said = () => received.filter((request) => request.status === 200).map((request) => JSON.parse(request.body).data.said)
  await until('the other customer to be told of', () => said().includes('tell: another'))
  await system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')
  assert.equal(await system.value(`SELECT count(*)::int FROM delivery_log WHERE kind = 'webhook' AND state <> 'sent'`), 2)
  assert.ok(!said().includes('tell: behind it'))
})

test('an endpoint that was gone gets what it missed, as the manual says', async () => {
  await say('15557000009', 'tell: gone')
  await system.untilSql('the refusal', `SELECT 1 FROM delivery_log WHERE error_code = '410' AND state = 'failed'`)
  await say('15557000010', 'tell: after it')
  await system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')
  const said = (status) => received.filter((request) => request.status === status).map((request) => JSON.parse(request.body).data.said)
  assert.ok(!said(200).includes('tell: after it'), 'nothing more leaves to who is gone')
  goneStatus = 200
  const [, block] = readFileSync(join(project, 'rules/OPERATING.md'), 'utf8').match(/## What did not leave\n\n```sql\n([^`]*)```/)
  const [missed, resume, retry] = block.split(/;\s*$/m).map((sql) => sql.trim()).filter(Boolean)
  const [latest] = await system.rows(missed)
  assert.deepEqual([latest.target, latest.state, latest.error_code], ['endpoint crm', 'failed', '410'])
  assert.equal(await system.value(resume), true)
  assert.equal(await system.value(retry), '1')
  await until('what was missed', () => ['tell: gone', 'tell: after it'].every((text) => said(200).includes(text)))
  const ids = received.filter((request) => JSON.parse(request.body).data.said === 'tell: gone').map((request) => request.headers['webhook-id'])
  assert.equal(ids.length, 2)
  assert.equal(ids[0], ids[1])
})
