// A machine that gives the server little: few file descriptors, of which idle clients take none from those that work, or
// a port that is another program's.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System, program, secrets, until } from './support/system.mjs'

let system
let node
let idle

async function startWith(descriptors) {
  system = await System.start({ serve: false })
  idle = []
  node = spawn('bash', ['-c', `ulimit -n ${descriptors}; exec "$0" serve --config "$1"`, program, system.config],
    { env: { ...process.env, ...secrets, ...system.environment() }, stdio: ['ignore', 'pipe', 'pipe'] })
  node.log = ''
  for (const stream of [node.stdout, node.stderr]) stream.on('data', (data) => (node.log += data))
  system.nodes.push(node)
  await until('answerd to be ready', async () => (await fetch(`${system.admin}/readyz`)).ok)
}

async function stop() {
  for (const socket of idle) socket.destroy()
  await system?.stop()
}

function open() {
  const socket = connect(system.port, '127.0.0.1')
  socket.on('error', () => {})
  idle.push(socket)
  return socket
}

// A client that is answered, unless there is no room for it, and keeps its connection.
async function keepConnection() {
  const socket = open()
  await once(socket, 'connect')
  socket.write(`GET /webhooks/whatsapp?hub.mode=subscribe&hub.challenge=1&hub.verify_token=${secrets.WHATSAPP_VERIFY_TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await Promise.race([once(socket, 'data'), once(socket, 'close'), new Promise((done) => setTimeout(done, 3000).unref())])
}

// Within the time that providers wait for an answer, which is 10 seconds at least.
async function postIsTaken(number) {
  const began = Date.now()
  assert.equal((await system.post('whatsapp', whatsapp.message(number, 'hello'))).status, 200)
  assert.ok(Date.now() - began < 10000, `after ${Date.now() - began} ms`)
}

const answered = (number) => until('an answer', async () => (await system.sent()).some((entry) => entry.to === `+${number}`))

describe('300 descriptors', () => {
  beforeEach(() => startWith(300))
  afterEach(stop)

  test('with more clients that keep their connection than there may be, a webhook is taken, answered by the rules, and the server is ready', async () => {
    const [, limit, connections] = node.log.match(/few file descriptors" limit=(\d+) needed=\d+ connections=(\d+) calls=\d+ hint="raise `ulimit -Hn`/)
    assert.equal(Number(limit), 300)
    assert.ok(connections > 100 && connections < 250, connections)
    for (let i = 0; i < 10; i++) await keepConnection()
    assert.ok(idle.every((socket) => !socket.destroyed), 'they are kept')
    await Promise.all(Array.from({ length: 400 }, keepConnection))
    await postIsTaken('15556500001')
    await answered('15556500001')
    assert.equal((await fetch(`${system.admin}/readyz`)).status, 200)
  })
})

describe('64 descriptors', () => {
  beforeEach(() => startWith(64))
  afterEach(stop)

  for (const [trouble, count, words] of [
    ['with a thousand clients that say nothing', 1000, ''],
    ['with clients on every place that begin to speak and go no further', 60, 'POST /webhooks/whatsapp HT'],
  ]) {
    test(`${trouble}, a webhook is taken, answered by the rules, and the log says what is the matter`, async () => {
      await Promise.all(Array.from({ length: count }, async () => {
        const socket = open()
        await once(socket, 'connect')
        socket.write(words)
      }))
      await postIsTaken('15556500002')
      await answered('15556500002')
      assert.equal((await fetch(`${system.admin}/readyz`)).status, 200)
      assert.match(node.log, /connections are at their limit.*hint=/)
      assert.match(await (await fetch(`${system.admin}/metrics`)).text(), /answerd_http_connections_closed_for_room_total [1-9]/)
    })
  }
})

// What a server says that does not start.
async function refusedStart(descriptors) {
  const env = { ...process.env, ...secrets, ...system.environment() }
  const command = `${descriptors ? `ulimit -n ${descriptors};` : ''} exec "$0" serve --config "$1"`
  const child = spawn('bash', ['-c', command, program, system.config], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (log += data))
  const [code] = await once(child, 'close')
  return { code, log }
}

describe('a server that cannot start says what to do', () => {
  before(async () => {
    system = await System.start({ serve: false })
    idle = []
  })
  after(stop)

  test('with too few descriptors to work at all', async () => {
    const { code, log } = await refusedStart(32)
    assert.equal(code, 3, log)
    assert.match(log, /may open 32 files and sockets.*HINT: raise the limit/)
  })

  for (const [setting, port] of [['http.listen', () => system.port], ['http.admin', () => system.adminPort]]) {
    test(`with the port of ${setting} taken`, async () => {
      const other = createServer().listen(port(), '127.0.0.1')
      await once(other, 'listening')
      const { code, log } = await refusedStart()
      other.close()
      assert.equal(code, 3, log)
      assert.match(log, new RegExp(`${setting}: cannot listen on '127.0.0.1:${port()}': Address already in use.*HINT: another program listens there`))
    })
  }
})
