// Why a server is not ready: each cause that /readyz names is brought about by what it says, and by nothing else.
//
// The program reaches PostgreSQL by a wire whose connections are told apart by who opens them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, afterEach, before, test } from 'node:test'
import { Link } from './support/link.mjs'
import { whatsapp } from './support/providers.mjs'
import { run, System, until } from './support/system.mjs'

let system
let link
let node
let refused // asked for each who connects: nothing, or [code, words] of PostgreSQL, or 'cut'
let lost // asked for each statement: is the connection cut there?

// What PostgreSQL says to whom it does not let in.
function fatal([code, words]) {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${words}\0\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

function pass({ application, type, sql, connection }) {
  if (type !== 'startup') return lost(application, sql) ? 'cut' : undefined
  const answer = refused(application)
  if (!Array.isArray(answer)) return answer
  return new Promise((done) => connection.client.end(fatal(answer), () => done('cut')))
}

const letAllIn = () => {
  refused = () => undefined
  lost = () => false
}
const refuse = (whom, how = 'cut') => {
  refused = (application) => (whom.test(application) ? how : undefined)
  for (const connection of [...link.connections]) if (whom.test(connection.application)) connection.cut()
}
const start = (...args) => system.serve({ ready: false, args, environment: { PGHOST: '127.0.0.1', PGPORT: String(link.port) } })
const ready = async () => {
  const answer = await fetch(`${system.admin}/readyz`)
  return { status: answer.status, text: await answer.text() }
}

// It says so, the log says so as well when it lasts, and with the cause gone it is over.
async function isTold(reason, end = letAllIn) {
  const before = node.log.length
  let last
  await until(`"${reason}"`, async () => (last = await ready()).status === 503 && last.text === `${reason}\n`).catch((error) => {
    throw new Error(`it says ${JSON.stringify(last)}`, { cause: error })
  })
  await until('the log to say so', () => node.log.slice(before).includes(`"not ready" reason="${reason}"`))
  const health = await run(['health', '--config', system.config], { env: system.environment() })
  assert.deepEqual([health.code, health.stdout], [1, `${reason}\n`])
  await end()
  await until('the log to say that it is over', () => node.log.slice(before).includes('"ready again"'))
}

before(async () => {
  letAllIn()
  system = await System.start({ serve: false })
  link = await new Link(() => `${process.env.PGHOST}/.s.PGSQL.${process.env.PGPORT ?? 5432}`, pass).listen()
})
afterEach(letAllIn)
after(async () => {
  await system?.stop()
  await link?.close()
})

test('while it starts', async () => {
  refused = (application) => (application === 'answerd serve' ? 'cut' : undefined)
  node = await start()
  await isTold('the server is starting')
})

test('no rules are in force', async () => {
  await system.stopNode(node)
  await system.rows('DELETE FROM rule_pointer')
  refused = (application) => (application === 'answerd upkeep' ? 'cut' : undefined)
  node = await start()
  await isTold('no rules are in force')
})

test('no other process knows yet which sources this one has: it takes no webhook before', async () => {
  await system.stopNode(node)
  refused = (application) => (application === 'answerd upkeep' ? 'cut' : undefined)
  node = await start('--roles', 'ingest')
  await isTold('the other processes have not been told yet which sources this one has', async () => {
    assert.equal((await system.post('whatsapp', whatsapp.message('15551230001', 'too early'))).status, 503)
    letAllIn()
  })
  assert.equal((await system.post('whatsapp', whatsapp.message('15551230001', 'in time'))).status, 200)
  await system.stopNode(node)
  node = await start()
})

for (const [whom, reason] of [
  [/^answerd ingest$/, 'ingest, which receives webhooks, has no connection to the database'],
  [/^answerd engine/, 'the engine, which runs rules, has no connection to the database or stands still'],
  [/^answerd deliver$/, 'deliver, which sends messages, has no connection to the database or stands still'],
  [/^answerd admin$/, 'the database cannot be reached'],
]) {
  test(`${whom.source} is kept out`, async () => {
    refuse(whom)
    await isTold(reason)
  })
}

for (const [code, words, reason] of [
  ['28P01', 'password authentication failed for user "answerd"', 'the database does not take our password'],
  ['28000', 'no pg_hba.conf entry for host "192.0.2.1", user "answerd", database "answerd", no encryption', 'the database does not take our password'],
  ['57P03', 'the database system is starting up', 'the database is starting, overloaded or being restored'],
  ['53300', 'sorry, too many clients already', 'the database is starting, overloaded or being restored'],
]) {
  test(`the database says: ${words}`, async () => {
    refuse(/^answerd/, [code, words])
    await isTold(reason)
  })
}

test('a database that takes no writes', async () => {
  await system.rows(`ALTER DATABASE ${system.name} SET default_transaction_read_only = on`)
  link.cutAll()
  await isTold('the database takes no writes: it is a standby, or read-only', async () => {
    const client = await system.db.connect()
    await client.query('SET default_transaction_read_only = off')
    await client.query(`ALTER DATABASE ${system.name} RESET default_transaction_read_only`)
    client.release(true)
  })
})

test('a database that does not answer what is asked of it', async () => {
  lost = (application, sql) => application === 'answerd admin' && sql.includes('quarantined_rules')
  await isTold('the database does not answer')
})

test('a database that is silent', async () => {
  refused = () => undefined
  let go
  const silence = new Promise((done) => (go = done))
  link.message = (message) => (message.application === 'answerd admin' && message.sql.includes('quarantined_rules') ? silence : pass(message))
  await isTold('the database does not answer', () => {
    link.message = pass
    go()
  })
})

test('a disk that is full: webhooks are put off, and the log says what to look at', async () => {
  const before = node.log.length
  const hello = whatsapp.message('15559100001', 'hello', { id: 'wamid.disk' })
  await system.rows(`CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$`)
  await system.rows('CREATE TRIGGER no_room BEFORE INSERT ON webhook FOR EACH ROW EXECUTE FUNCTION no_room()')
  const answer = await system.post('whatsapp', hello)
  assert.equal(answer.status, 503)
  assert.match(answer.headers.get('retry-after'), /^[1-9]/)
  await until('the log', () => /answered 503" sqlstate=53100 .*No space left on device.*HINT: the disk of the database is full; what it refused is tried again/.test(node.log.slice(before)))
  await system.rows('DROP TRIGGER no_room ON webhook')
  assert.equal((await system.post('whatsapp', hello)).status, 200)
  await system.untilSql('the message', `SELECT count(*) = 1 FROM message WHERE direction = 'in' AND text = 'hello'`)
})

test('a schema that is not its own, while it waits to start', async () => {
  await system.stopNode(node)
  const [last] = await system.rows('DELETE FROM schema_migration WHERE number = (SELECT max(number) FROM schema_migration) RETURNING *')
  refused = (application) => (application === 'answerd serve' ? 'cut' : undefined)
  node = await start()
  await isTold('the database has a schema that is not the one of this program (answerd migrate)', async () => {
    await system.rows('INSERT INTO schema_migration SELECT * FROM jsonb_populate_record(NULL::schema_migration, $1)', [JSON.stringify(last)])
    letAllIn()
  })
})

test('while it stops', async () => {
  await system.faults({ source: 'whatsapp', kind: 'slow', ms: 4000, times: 1 })
  const before = (await system.sent()).length
  assert.equal((await system.post('whatsapp', whatsapp.message('15559100002', 'hello'))).status, 200)
  await until('the provider to have it', async () => (await system.sent()).length > before)
  const stopped = once(node, 'exit')
  node.kill('SIGTERM')
  await until('"the server is stopping"', async () => {
    const { status, text } = await ready()
    return status === 503 && text === 'the server is stopping\n'
  })
  assert.deepEqual(await stopped, [0, null])
  system.nodes = []
})
