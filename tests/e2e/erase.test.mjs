// Whoever is erased is gone: from every column of every table, whatever way their name, number and words came in, and from
// what the program logged. The counts stay, and others keep what is theirs.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { stripe, telegram, whatsapp } from './support/providers.mjs'
import { System, run, until } from './support/system.mjs'

const person = { phone: '15559998877', name: 'Zebulon Quxley', email: 'zebulon@quxley.example', telegram: 990077001, customer: 'cus_Zq77' }
const words = 'mauve-giraffe'
const traces = [person.phone, 'zebulon', 'quxley', words, String(person.telegram), person.customer]
// WhatsApp's ids of messages hold the number, in base64.
const wamid = (phone, n) => 'wamid.' + Buffer.from(`\x1d\x0b${phone}\x15\x02\x00\x11\x18\x14${n}`, 'latin1').toString('base64')
const now = () => String(Math.floor(Date.now() / 1000))

// Another system that says the person's name in its answers: it refuses the first call.
let calls = 0
const crm = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(++calls === 1 ? 400 : 200).end(`{"error": "${person.name} is unknown"}`))
})

const rules = (port) => `
endpoint "crm" { url = "http://127.0.0.1:${port}/", secret = "whsec_${Buffer.from('the secret of the crm, long enough').toString('base64')}" }
survey "stars" { scale = 5, question = "How was it?", thanks = "Thanks", ask_comment = "Why?" }
rule { name = "desk", doc = "Opens, quotes, tells others.", on = { "message.received" }, priority = 9, run = function(e, fx)
  local text, who = e.message.text or "", e.contact.name or "you"
  local c = e.conversation or fx:open_conversation { topic = "support" }
  c:send { text = "Dear " .. who .. ", you wrote: " .. text }
  c:note(who .. " wrote " .. text)
  c:set("said", text)
  c:after("4h", "later", { data = { text = text } })
  fx:webhook("crm", { from = who, text = text })
  fx:emit("said", { text = text, who = who })
end }
rule { name = "breaks", doc = "Fails, and quotes.", on = { "message.received" }, run = function(e, fx)
  if has(e.message.text or "", "break") then error("cannot read " .. e.message.text .. " of " .. e.contact.name) end
end }
rule { name = "reach", doc = "Reaches out.", on = { "payment.failed" }, run = function(e, fx)
  fx:outreach { topic = "billing", reference = e.payment.invoice, goal = "payment.succeeded", vars = { who = e.contact.name },
    steps = { { after = "0s", text = "Hi " .. (e.contact.name or "you") }, { after = "24h", text = "Still" } } }
end }
`

let system
// What was sent comes back as statuses: the simulator has nothing left to post, and nothing waits before and after that was seen.
const atRest = () => system.untilSql('all work to be done', `SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox)`)
const settled = async () => {
  await atRest()
  await until('the simulator to be done', async () => (await (await fetch(system.simulateUrl + '/control/state')).json()).webhooks_waiting === 0)
  await atRest()
}
const post = async (source, webhook) => assert.equal((await system.post(source, webhook)).status, 200)

before(async () => {
  await new Promise((done) => crm.listen(0, '127.0.0.1', done))
  system = await System.start({ rules: null, files: { 'desk.lua': rules(crm.address().port) } })
})
after(async () => {
  await system?.stop()
  crm.close()
})

// Every row of every table as text, byte strings as what they hold, and what is base64 in it as what it says.
async function whoKnows(needles) {
  const tables = await system.rows(`SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
  const found = new Set()
  for (const { name } of tables) {
    if (name === 'rule_file') continue // the rules, which name nobody but a test's person
    for (const { row } of await system.rows(`SELECT to_jsonb(t) AS row FROM ${name} t`)) {
      for (const [column, value] of Object.entries(row)) {
        let text = typeof value === 'string' ? value : JSON.stringify(value)
        if (text.startsWith('\\x')) text = Buffer.from(text.slice(2), 'hex').toString('latin1')
        const decoded = [...text.matchAll(/[A-Za-z0-9+/_-]{20,}={0,2}/g)].map((match) => Buffer.from(match[0], 'base64').toString('latin1'))
        const said = [text, ...decoded].join(' ')
        for (const needle of needles) if (new RegExp(`(?<![0-9a-z])${needle}(?![0-9a-z])`, 'i').test(said)) found.add(`${name}.${column} (${needle})`)
      }
    }
  }
  return [...found].sort()
}
const counts = () => system.rows(`SELECT (SELECT count(*) FROM webhook) AS webhooks, (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM message) AS messages,
  (SELECT count(*) FROM delivery) AS deliveries, (SELECT count(*) FROM attempt) AS attempts, (SELECT count(*) FROM trace) AS traces, (SELECT count(*) FROM conversation) AS conversations`)

test('a person comes in by every way there is', async () => {
  const say = (text, n, from = person.phone, name = person.name) => whatsapp.message(from, text, { name, id: wamid(from, n) })
  const first = say(`hello ${words} one`, 1)
  for (let time = 0; time < 3; time++) await post('whatsapp', first)
  await settled()
  await post('whatsapp', say(`please break ${words}`, 2))
  await settled()
  // In one webhook with somebody else; then again, in other words of the same: the order of its messages has changed.
  const theirs = { from: person.phone, id: wamid(person.phone, 3), timestamp: now(), type: 'text', text: { body: `batch ${words}` } }
  const others = { from: '15551112222', id: wamid('15551112222', 4), timestamp: now(), type: 'text', text: { body: 'mine stays' } }
  const people = [{ profile: { name: person.name }, wa_id: person.phone }, { profile: { name: 'Other' }, wa_id: '15551112222' }]
  await post('whatsapp', whatsapp.sign(whatsapp.envelope({ contacts: people, messages: [theirs, others] })))
  await post('whatsapp', whatsapp.sign(whatsapp.envelope({ contacts: people, messages: [others, theirs] })))
  await settled()
  await system.faults({ source: 'whatsapp', kind: 'refuse', code: 131026 })
  await post('whatsapp', say(`again ${words}`, 5))
  await settled()
  const invoice = { ...stripe.invoice({ id: 'in_z', phone: person.phone, email: person.email, customer: person.customer }), customer_name: person.name }
  await post('stripe', stripe.event('invoice.payment_failed', invoice))
  await post('whatsapp', whatsapp.message(person.phone, { type: 'reaction', reaction: { message_id: wamid(person.phone, 1), emoji: '👍' } }, { id: wamid(person.phone, 6) }))
  // Of a message that is not ours; and what no parser understands.
  await post('whatsapp', whatsapp.sign(whatsapp.envelope({ statuses: [{ id: wamid(person.phone, 99), status: 'delivered', timestamp: now(), recipient_id: person.phone }] })))
  await post('whatsapp', whatsapp.sign({ object: 'whatsapp_business_account', entry: [{ changes: [{ field: 'new', value: { who: person.phone, said: words } }] }] }))
  await post('whatsapp', whatsapp.sign({ object: 'whatsapp_business_account', entry: [{ changes: [{ field: 'new', value: { who: '9' + person.phone } }] }] }))
  await settled()
  // A second channel, linked by what the shop told.
  await post('stripe', stripe.event('checkout.session.completed', { id: 'cs_z', object: 'checkout.session', mode: 'payment', status: 'complete', payment_status: 'paid',
    customer: person.customer, amount_total: 4900, currency: 'usd', customer_details: { email: person.email, name: person.name, phone: null }, metadata: { telegram: String(person.telegram) } }))
  await settled()
  await post('telegram', telegram.message(person.telegram, `from telegram ${words}`, { name: person.name }))
  await settled()
  // An event that was given up.
  await system.rows(`WITH one AS (INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
    SELECT 7, now(), now(), 'whatsapp', 'message.received', $1, 1, jsonb_build_object('type', 'message.received', 'message', jsonb_build_object('text', $2::text),
      'contact', jsonb_build_object('identities', jsonb_build_array($3::text))) RETURNING *)
    INSERT INTO parked_event (event_id, event_received_at, lane, attempts, problem) SELECT id, received_at, lane, 5, 'it broke' FROM one`, [wamid(person.phone, 7), words, 'whatsapp:' + person.phone])
  system.writeRule('../next/desk.lua', rules(crm.address().port).replace('Dear', 'Hello'))
  const backtest = await run(['backtest', '--config', system.config, '--rules', system.folder + '/next', '--since', '1d', '--sql'], { env: system.environment(), cwd: system.folder })
  assert.equal(backtest.code, 0, backtest.stderr)
  assert.ok(Number(await system.value('SELECT count(*) FROM backtest_effect')) > 0)
  for (const place of ['webhook.body', 'event.doc', 'message.text', 'delivery.request', 'trace.effects', 'trace.error', 'rule_trouble.last_error', 'backtest_effect.after', 'backtest_run.report'])
    assert.ok((await whoKnows(traces)).some((known) => known.startsWith(place)), `${place} knows them`)
})

test('erasing leaves nothing of them, and all of the others', async () => {
  const before = await counts()
  const contact = await system.value('SELECT contact_id FROM identity WHERE identity = $1', ['whatsapp:' + person.phone])
  assert.ok(Number(await system.value('SELECT erase_contact($1)', [contact])) >= 10)
  assert.deepEqual(await whoKnows(traces), [])
  assert.deepEqual(await counts(), before)
  const [other] = await system.rows(`SELECT * FROM conversation_history WHERE contact_name = 'Other' AND direction = 'in'`)
  assert.equal(other.text, 'mine stays')
  assert.equal(other.provider_message_id, wamid('15551112222', 4))
  assert.equal(await system.value(`SELECT count(*)::int FROM webhook_log WHERE body LIKE '%9' || $1 || '%'`, [person.phone]), 1, 'a longer number is somebody else')
  assert.equal(await system.value('SELECT state FROM event_log WHERE event_id = 7'), 'handled')
  assert.deepEqual(await system.rows('SELECT * FROM parked_event'), [])
  for (const needle of traces) assert.ok(!system.nodes[0].log.toLowerCase().includes(needle.toLowerCase()), `the log knows ${needle}`)
  assert.ok(Number(await system.value('SELECT count(*) FROM why(7)')) > 0)
})

test('the same webhook once more is still a repetition; the person themselves may come back as somebody new', async () => {
  const before = await system.value('SELECT count(*)::int FROM message')
  await post('whatsapp', whatsapp.message(person.phone, `hello ${words} one`, { name: person.name, id: wamid(person.phone, 1) }))
  await settled()
  assert.equal(await system.value('SELECT count(*)::int FROM message'), before)
  await post('whatsapp', whatsapp.message(person.phone, 'hello again', { name: person.name, id: wamid(person.phone, 100) }))
  await settled()
  assert.equal(await system.value(`SELECT count(*)::int FROM conversation_history WHERE text = 'hello again'`), 1)
})

test('what still waits when somebody is erased is never handled', async () => {
  // Whoever holds these locks has the lanes: no engine takes anything meanwhile.
  const lanes = await system.db.connect()
  await lanes.query('SELECT pg_advisory_lock(4201, n) FROM generate_series(0, 511) AS n')
  await post('whatsapp', whatsapp.message(person.phone, `waiting ${words}`, { name: person.name, id: wamid(person.phone, 101) }))
  await post('whatsapp', whatsapp.message('15551112222', 'waiting as well', { id: wamid('15551112222', 102) }))
  const contact = await system.value('SELECT contact_id FROM identity WHERE identity = $1', ['whatsapp:' + person.phone])
  await lanes.query('SELECT erase_contact($1)', [contact])
  await lanes.query('SELECT pg_advisory_unlock_all()')
  lanes.release()
  await settled()
  assert.deepEqual(await whoKnows(traces), [])
  assert.equal(await system.value(`SELECT count(*)::int FROM conversation_history WHERE text = 'waiting as well'`), 1)
  assert.equal(await system.value(`SELECT count(*)::int FROM event_log WHERE contact_id = $1 AND type = 'message.received' AND problem = 'the contact was erased'`, [contact]), 1)
})
