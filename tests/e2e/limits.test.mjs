// A machine that gives the server few file descriptors: idle clients take none from those that work.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System, program, secrets, until } from './support/system.mjs'

let system
let node
const idle = []

before(async () => {
  system = await System.start({ serve: false })
  node = spawn('bash', ['-c', 'ulimit -n 300; exec "$0" serve --config "$1"', program, system.config],
    { env: { ...process.env, ...secrets, ...system.environment() }, stdio: ['ignore', 'pipe', 'pipe'] })
  node.log = ''
  for (const stream of [node.stdout, node.stderr]) stream.on('data', (data) => (node.log += data))
  system.nodes.push(node)
  await until('answerd to be ready', async () => (await fetch(`${system.admin}/readyz`)).ok)
})
after(async () => {
  for (const socket of idle) socket.destroy()
  await system?.stop()
})

// A client that is answered, unless there is no room for it, and keeps its connection.
async function keepConnection() {
  const socket = connect(system.port, '127.0.0.1')
  socket.on('error', () => {})
  idle.push(socket)
  await once(socket, 'connect')
  socket.write(`GET /webhooks/whatsapp?hub.mode=subscribe&hub.challenge=1&hub.verify_token=${secrets.WHATSAPP_VERIFY_TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await Promise.race([once(socket, 'data'), once(socket, 'close'), new Promise((done) => setTimeout(done, 3000).unref())])
}

test('the log says how many connections there may be', () => {
  const [, limit, needed, connections] = node.log.match(/few file descriptors" limit=(\d+) needed=(\d+) connections=(\d+) hint="raise `ulimit -n`/)
  assert.equal(Number(limit), 300)
  assert.equal(4096 - (Number(needed) - 300), Number(connections))
})

test('with more idle clients than descriptors a webhook is taken, answered by the rules, and the server is ready', async () => {
  for (let i = 0; i < 10; i++) await keepConnection()
  assert.ok(idle.every((socket) => !socket.destroyed), 'they are kept')
  await Promise.all(Array.from({ length: 400 }, keepConnection))
  const began = Date.now()
  assert.equal((await system.post('whatsapp', whatsapp.message('15556500001', 'hello'))).status, 200)
  assert.ok(Date.now() - began < 30000, 'not when idle connections end by themselves')
  await until('an answer', async () => (await system.sent()).some((entry) => entry.to === '+15556500001'))
  assert.equal((await fetch(`${system.admin}/readyz`)).status, 200)
})
