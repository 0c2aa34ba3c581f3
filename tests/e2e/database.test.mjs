// The server without its database: at the start, later, and with a schema that is not its own.
//
// A gate in front of PostgreSQL takes its place at a TCP port: while it is shut, nobody listens there.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { constants, existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { freePort, System, until } from './support/system.mjs'

class Gate {
  constructor(port) {
    this.port = port
    this.sockets = new Set()
  }

  async open() {
    this.server = createServer((client) => {
      const database = connect(`${process.env.PGHOST}/.s.PGSQL.${process.env.PGPORT ?? 5432}`)
      for (const [one, other] of [[client, database], [database, client]]) {
        this.sockets.add(one)
        one.on('error', () => {}).on('close', () => (this.sockets.delete(one), other.destroy()))
        one.pipe(other)
      }
    })
    this.server.listen(this.port, '127.0.0.1')
    await once(this.server, 'listening')
  }

  async shut() {
    const closed = once(this.server, 'close')
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
    await closed
  }
}

let system
let gate
let node

before(async () => {
  system = await System.start({ serve: false })
  for (const table of ['event', 'event_key']) await system.rows(`CREATE TABLE ${table}_202001 PARTITION OF ${table} FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')`)
  gate = new Gate(await freePort())
})
after(async () => {
  await system?.stop()
  await gate?.shut().catch(() => {})
})

const say = (text, id) => system.post('whatsapp', whatsapp.message('15559000001', text, { id }))
const ready = async () => {
  const answer = await fetch(`${system.admin}/readyz`)
  return { status: answer.status, text: await answer.text() }
}
const behindGate = () => ({ PGHOST: '127.0.0.1', PGPORT: String(gate.port) })
const messages = () => system.rows(`SELECT text FROM message WHERE direction = 'in' ORDER BY created_at`)

async function assertAway(id) {
  const answer = await until('a webhook to be turned away', async () => {
    const answer = await say('is anybody there?', id)
    return answer.status !== 200 && answer
  })
  assert.equal(answer.status, 503)
  assert.match(answer.headers.get('retry-after'), /^[0-9]+$/)
  const forged = whatsapp.message('15559000001', 'forged')
  forged.headers['x-hub-signature-256'] = 'sha256=' + '0'.repeat(64)
  assert.equal((await system.post('whatsapp', forged)).status, 401, 'what is not genuine is told so all the same')
  const unready = await until('the server not to be ready', async () => {
    const said = await ready()
    return said.status === 503 && said
  })
  assert.match(unready.text, /database/) // or who noticed first that it has no connection to it
  assert.equal((await fetch(`${system.admin}/healthz`)).status, 200)
}

test('a server that starts before its database answers 503 at once, and serves when it comes', async () => {
  node = await system.serve({ environment: behindGate(), ready: false })
  await until('the listeners', async () => (await ready()).status === 503 && (await say('first', 'wamid.first')).status === 503)
  await assertAway('wamid.first')
  await gate.open()
  await until('answerd to be ready', async () => (await ready()).status === 200)
  assert.equal((await say('is anybody there?', 'wamid.first')).status, 200)
  await system.untilSql('the message', `SELECT count(*) = 1 FROM message WHERE direction = 'in'`)
  assert.deepEqual(await messages(), [{ text: 'is anybody there?' }])
})

// Keys are kept as long as providers send again, whatever the retention of the records is.
test('keys of events that are too old to come again go by themselves, and records stay', async () => {
  await system.untilSql('the keys to go', `SELECT to_regclass('event_key_202001') IS NULL`)
  assert.equal(await system.value(`SELECT to_regclass('event_202001') IS NOT NULL`), true)
})

test('a database that goes away later is waited for as well', async () => {
  const before = node.log.length
  const said = (pattern) => node.log.slice(before).match(pattern) ?? []
  await gate.shut()
  await assertAway('wamid.second')
  await until('the log to say so', () => said(/"not ready" reason="the database cannot be reached"/).length)
  assert.equal(said(/"ready again"/).length, 0)
  await gate.open()
  await until('answerd to be ready', async () => (await ready()).status === 200)
  assert.equal((await say('once more', 'wamid.second')).status, 200)
  await system.untilSql('the answer to leave', `SELECT count(*) = 2 AND NOT EXISTS (SELECT FROM work) FROM message WHERE direction = 'in'`)
  assert.equal(node.exitCode, null, 'all that in one process')
  await until('the log to say that it is over', () => said(/"ready again"/).length)
  assert.equal(said(/"not ready" reason="the database cannot be reached"/g).length, 1, 'once for each time')
})

test('a server that waits for its database stops when it is told to', async () => {
  await system.stopNode(node)
  await gate.shut()
  node = await system.serve({ environment: behindGate(), ready: false })
  await until('the listeners', async () => (await say('nobody', 'wamid.third')).status === 503)
  assert.equal(await system.stopNode(node), 0)
})

// The configuration is a pipe: whoever could open it for writing knows that it is being read.
const startUntilItReads = async () => {
  const pipe = join(system.folder, 'configuration pipe')
  if (!existsSync(pipe)) execFileSync('mkfifo', [pipe])
  node = await system.serve({ args: ['--config', pipe], ready: false })
  return until('the configuration to be read', () => open(pipe, constants.O_WRONLY | constants.O_NONBLOCK))
}

test('a server that is told to stop before it has begun leaves at once', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const writer = await startUntilItReads()
    assert.equal(await system.stopNode(node, signal), 0, signal)
    await writer.close()
  }
})

test('a server that is told to load its rules again before it has any goes on, and loads them when it serves', async () => {
  const writer = await startUntilItReads()
  node.kill('SIGHUP')
  await writer.writeFile(system.configuration())
  await writer.close()
  await until('the rules to be loaded again', () => node.exitCode !== null || node.signalCode !== null || /msg="rules loaded again"/.test(node.log))
  assert.equal(await system.stopNode(node), 0)
})

test('a database with a schema that is not its own ends the server, and nothing is stored', async () => {
  const before = await system.value('SELECT count(*)::int FROM webhook')
  await system.rows(`INSERT INTO schema_migration (number, name, checksum) VALUES (9999, '9999_future.sql', 'x')`)
  node = await system.serve({ environment: behindGate(), ready: false })
  await until('the listeners', async () => (await say('too early', 'wamid.fourth')).status === 503)
  await gate.open()
  if (node.exitCode === null) await once(node, 'exit')
  assert.equal(node.exitCode, 4)
  assert.match(node.log, /newer/)
  assert.equal(await system.value('SELECT count(*)::int FROM webhook'), before)
  system.nodes = []
})

test('tables that are gone under a running server end it, and the log says so', async () => {
  await system.rows('DELETE FROM schema_migration WHERE number = 9999')
  node = await system.serve()
  // The server works on them, so PostgreSQL may have to choose who of the two goes on.
  await until('the tables to be gone', () => system.rows('DROP SCHEMA IF EXISTS public CASCADE'))
  if (node.exitCode === null) await once(node, 'exit')
  assert.equal(node.exitCode, 4)
  assert.match(node.log, /the tables that this program worked with are gone, it stops.*hint="they were dropped, or another database stands/)
  system.nodes = []
})
