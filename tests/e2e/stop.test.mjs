// The order in which a server stops: it says that it does, then nothing new comes in, what is in hand is finished, and all of that ends in
// a time that is known before.
//
// The program reaches PostgreSQL by a wire on which single statements can be held.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { Link } from './support/link.mjs'
import { whatsapp } from './support/providers.mjs'
import { System, until } from './support/system.mjs'

const callTimeout = 5000
// What takes longer would wait for what the tests hold for ever, or for a provider that answers after minutes. The times of each step
// are shorter; machines stand still now and then.
const bound = 60000
const forEver = 300000
let system
let link
let node

before(async () => {
  system = await System.start({
    serve: false,
    rules: null,
    httpSettings: 'read_deadline = "5m"',
    ingestSettings: 'commit_deadline = "3s"',
    deliverSettings: `timeout = "${callTimeout}ms"`,
    files: {
      'echo.lua': `
rule { name = "echo", doc = "Says back what was said.", on = "message.received", run = function(e, fx)
  fx:open_conversation { topic = "support" }:send { text = "echo " .. e.message.text }
end }`,
    },
  })
  await system.faults({ source: 'whatsapp', kind: 'no_status', times: -1 })
  link = await new Link(() => `${process.env.PGHOST}/.s.PGSQL.${process.env.PGPORT ?? 5432}`).listen()
})
// With nothing left to do of what the test before it has left: each test holds, or hears of, what is its own.
async function start() {
  node = await system.serve({ environment: { PGHOST: '127.0.0.1', PGPORT: String(link.port) } })
  await system.untilSql('nothing to be left', `SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM outbox WHERE state NOT IN ('sending', 'unknown'))`)
}
afterEach(async () => {
  link.message = () => undefined
  link.blocked = link.shut = false
  await system.stopNode(node, 'SIGKILL')
})
after(async () => {
  await system?.stop()
  await link?.close()
})

const say = (person, text) => system.post('whatsapp', whatsapp.message(person, text, { id: `wamid.${text}` }))
const sentTo = async (person) => (await system.sent()).filter((entry) => entry.to === '+' + person).map((entry) => entry.body.text.body)
const state = (text) => system.value('SELECT d.state FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.text = $1', [text])
const stored = (text) => system.value(`SELECT count(*)::int FROM message WHERE direction = 'in' AND text = $1`, [text])
const ready = async () => {
  const answer = await fetch(`${system.admin}/readyz`)
  return `${answer.status} ${await answer.text()}`
}

// The statements like this wait until `letGo()`; `held` tells that the first one does.
function hold(application, sql) {
  let letGo
  let tell
  const gone = new Promise((done) => (letGo = done))
  const held = new Promise((done) => (tell = done))
  link.message = (message) => {
    if (!application.test(message.application) || !message.sql.includes(sql)) return undefined
    tell()
    return gone
  }
  return { held, letGo: () => letGo() }
}

function stop(signal = 'SIGTERM') {
  system.nodes = []
  node.kill(signal)
}
async function ends(code = 0) {
  await until('the server to end', () => node.exitCode !== null || node.signalCode !== null, bound)
  assert.equal(node.exitCode, code, node.log.slice(-2000))
}

// A connection by which nothing is asked yet; `answer` resolves with all that comes back until it is closed.
async function dial(port = system.port) {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  const answer = new Promise((done) => socket.on('data', (data) => (text += data)).on('error', () => {}).on('close', () => done(text)))
  await once(socket, 'connect')
  return { socket, answer, soFar: () => text }
}
const untilTheDoorIsShut = () => until('the listener to be gone', () => dial().then(({ socket }) => void socket.destroy(), (error) => error.code === 'ECONNREFUSED'))
const untilItIsRead = () => until('it to be read', async () => /answerd_http_receiving_bytes [1-9]/.test(await (await fetch(`${system.admin}/metrics`)).text()))
const requestOf = ({ body, headers }) => {
  const lines = Object.entries({ host: 'answerd', ...headers, 'content-length': Buffer.byteLength(body) }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST /webhooks/whatsapp HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

test('a webhook that is being stored is answered 200 when it is durable, after the door was shut and the server had said so', async () => {
  await start()
  const { held, letGo } = hold(/^answerd ingest$/, 'ingest_')
  const answered = say('15557000001', 'in time')
  await held
  stop()
  await untilTheDoorIsShut()
  assert.equal(await ready(), '503 the server is stopping\n')
  letGo()
  const answer = await answered
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('connection'), 'close')
  await ends()
  await start()
  await until('it to be handled', async () => (await sentTo('15557000001')).length > 0)
  assert.deepEqual(await sentTo('15557000001'), ['echo in time'])
})

test('a webhook that is still coming has its time, and who says nothing is let go', async () => {
  await start()
  const idle = await dial()
  const slow = await dial()
  const request = requestOf(whatsapp.message('15557000002', 'slowly', { id: 'wamid.slowly' }))
  slow.socket.write(request.slice(0, -20))
  await untilItIsRead()
  stop()
  await untilTheDoorIsShut()
  assert.equal(await idle.answer, '')
  assert.equal(slow.soFar(), '')
  slow.socket.write(request.slice(-20))
  assert.match(await slow.answer, /^HTTP\/1.1 200 /)
  await ends()
  assert.equal(await system.value(`SELECT count(*)::int FROM webhook WHERE body LIKE '%wamid.slowly%'`), 1)
})

test('a webhook that does not come to its end keeps nobody', async () => {
  await start()
  const endless = await dial()
  const request = requestOf(whatsapp.message('15557000009', 'endless'))
  endless.socket.write(request.slice(0, -20))
  await untilItIsRead()
  stop()
  await ends()
  assert.doesNotMatch(await endless.answer, /200/)
  assert.match(node.log, /"requests were still on their way at the stop" connections=1/)
})

test('a webhook that cannot be stored before the end is not answered 200, and comes again', async () => {
  await start()
  const { held } = hold(/^answerd ingest$/, 'ingest_')
  const answered = say('15557000003', 'not in time')
  await held
  stop()
  await ends()
  assert.equal(await answered.then(({ status }) => status, () => 'closed'), 503)
  assert.equal(await stored('not in time'), 0)
  link.message = () => undefined
  await start()
  assert.equal((await say('15557000003', 'not in time')).status, 200)
  await until('it to be handled', async () => (await sentTo('15557000003')).length > 0)
  assert.equal(await stored('not in time'), 1)
})

test('while the last call hangs nothing comes in any more; how long that may take is what a call may take', async () => {
  await start()
  await system.faults({ source: 'whatsapp', kind: 'slow', ms: forEver, times: 1 })
  assert.equal((await say('15557000004', 'hangs')).status, 200)
  await until('the provider to have it', async () => (await sentTo('15557000004')).length > 0)
  stop()
  await untilTheDoorIsShut()
  assert.equal(await ready(), '503 the server is stopping\n')
  assert.equal(await state('echo hangs'), 'sending')
  await ends()
  assert.equal(await state('echo hangs'), 'unknown')
})

test('an outcome that cannot be recorded keeps nobody, and is unknown to whoever comes next', async () => {
  await start()
  await system.faults({ source: 'whatsapp', kind: 'slow', ms: 1500, times: 1 })
  assert.equal((await say('15557000010', 'untold')).status, 200)
  await until('the provider to have it', async () => (await sentTo('15557000010')).length > 0)
  link.message = ({ application }) => (application === 'answerd deliver' ? 'cut' : undefined)
  for (const connection of [...link.connections]) if (connection.application === 'answerd deliver') connection.cut()
  stop()
  await ends()
  assert.match(node.log, /"stopped before all outcomes were recorded, they will count as unknown" deliveries=1/)
  assert.equal(await state('echo untold'), 'sending')
  link.message = () => undefined
  await start()
  await until('it to be missed', async () => (await state('echo untold')) === 'unknown')
  assert.deepEqual(await sentTo('15557000010'), ['echo untold'])
})

test('what an engine has in hand is finished, once, and nobody is taken for dead', async () => {
  await start()
  const { held, letGo } = hold(/^answerd engine$/, 'engine_commit')
  assert.equal((await say('15557000005', 'in hand')).status, 200)
  await held
  stop()
  await untilTheDoorIsShut()
  assert.equal(await stored('in hand'), 0)
  letGo()
  await ends()
  assert.equal(await stored('in hand'), 1)
  assert.equal(await system.value(`SELECT count(*)::int FROM work w JOIN event e ON e.id = w.event_id WHERE e.doc #>> '{message,text}' = 'in hand'`), 0)
  assert.equal(await system.value('SELECT (SELECT count(*) FROM engine_worker)::int + (SELECT count(*) FROM engine_in_flight)::int'), 0)
  await start()
  await until('its answer', async () => (await sentTo('15557000005')).length > 0)
  assert.deepEqual(await sentTo('15557000005'), ['echo in hand'])
})

test('who was refused in the last seconds is counted', async () => {
  await start()
  const { body } = whatsapp.message('15557000006', 'forged')
  const before = await system.value('SELECT coalesce(sum(count), 0)::int FROM webhook_reject')
  assert.equal((await system.post('whatsapp', { body, headers: { 'x-hub-signature-256': 'sha256=00' } })).status, 401)
  stop()
  await ends()
  assert.equal(await system.value('SELECT sum(count)::int FROM webhook_reject'), before + 1)
})

test('a second signal ends it where it stands, and what it had in hand is for others', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    await start()
    await system.faults({ source: 'whatsapp', kind: 'slow', ms: forEver, times: 1 })
    assert.equal((await say('15557000007', signal)).status, 200)
    await until('the provider to have it', async () => (await sentTo('15557000007')).includes(`echo ${signal}`))
    stop()
    await untilTheDoorIsShut()
    node.kill(signal)
    await ends(70)
    assert.equal(await state(`echo ${signal}`), 'sending')
    await start()
    await until('it to be missed', async () => (await state(`echo ${signal}`)) === 'unknown')
    stop()
    await ends()
  }
})

for (const [how, away] of [
  ['refuses', () => {
    link.shut = true
    link.cutAll()
  }],
  ['does not answer', () => (link.blocked = true)],
]) {
  test(`a database that ${how} keeps nobody: neither who is told to stop nor who waits for an answer`, async () => {
    await start()
    const { held } = hold(/^answerd ingest$/, 'ingest_')
    const answered = say('15557000008', `database ${how}`)
    await held
    away()
    stop()
    assert.equal(await answered.then(({ status }) => status, () => 'closed'), 503)
    await ends()
    assert.equal(await stored(`database ${how}`), 0)
  })
}
