// The server as a role that owns nothing: all of its work goes on, and nothing that only an owner may do.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, telegram, whatsapp } from './support/providers.mjs'
import { run, System, until } from './support/system.mjs'

let system
const asServer = { PGOPTIONS: '-c role=answerd_app' }

before(async () => {
  system = await System.start({ serve: false, config: 'retention { months = 3 }' })
  // A month that retention drops.
  await system.db.query(`CREATE TABLE webhook_202001 (LIKE webhook INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE webhook ATTACH PARTITION webhook_202001 FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')`)
  // One that is missing, as on the first day of a month.
  const [{ name }] = await system.rows(`SELECT partition_name('attempt', 3) AS name`)
  await system.db.query(`DROP TABLE ${name}`)
  system.missing = name
  system.environmentBefore = system.environment
  system.environment = (extra = {}) => system.environmentBefore({ ...asServer, ...extra })
  await system.serve()
})
after(() => system?.stop())

const asRole = async (role, sql) => {
  const client = await system.db.connect()
  try {
    await client.query(`SET ROLE ${role}`)
    return (await client.query(sql)).rows
  } finally {
    await client.query('RESET ROLE').catch(() => {})
    client.release()
  }
}

test('the server works with the rights of answerd_app', async () => {
  assert.equal(await system.value(`SELECT pg_has_role('answerd_app', 'answerd', 'member')`), false)
  assert.equal((await system.post('telegram', telegram.message(99, 'hello'))).status, 200)
  await system.untilSql('the conversation', `SELECT 1 FROM conversation_list WHERE channel = 'telegram'`)
  const person = '15559100001'
  assert.equal((await system.post('whatsapp', whatsapp.message(person, 'hi'))).status, 200)
  await system.untilSql('its event', `SELECT 1 FROM event_log WHERE type = 'message.received' AND handled_at IS NOT NULL AND source = 'whatsapp'`)
  assert.equal((await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_roles', phone: person })))).status, 200)
  await system.untilSql('a message that was sent', `SELECT 1 FROM delivery_log WHERE state IN ('sent', 'delivered', 'read')`)
  assert.equal((await system.post('telegram', { body: '{}', headers: {} })).status, 401)
  await system.untilSql('the count of rejects', `SELECT 1 FROM webhook_reject`)
})

test('months are made and dropped', async () => {
  await system.untilSql('the old month to go', `SELECT to_regclass('webhook_202001') IS NULL`)
  await system.untilSql('the missing month', `SELECT to_regclass('${system.missing}') IS NOT NULL`)
  assert.doesNotMatch(system.nodes[0].log, /permission denied|must be owner/)
})

test('rights that are taken away stop everything with a hint, and cost nothing: 503, and outcomes wait until they are back', async () => {
  const person = '15559100002'
  const outcome = `SELECT d.state, a.outcome FROM delivery AS d JOIN attempt AS a ON a.delivery_id = d.id WHERE d.identity = 'whatsapp:${person}'`
  await system.faults({ source: 'whatsapp', kind: 'slow', ms: 3000, times: 1 })
  await system.faults({ source: 'whatsapp', kind: 'no_status', times: 1 })
  assert.equal((await system.post('whatsapp', whatsapp.message(person, 'hi'))).status, 200)
  await system.untilSql('a send that is under way', `SELECT 1 FROM outbox AS o JOIN delivery AS d ON d.id = o.delivery_id
    WHERE o.state = 'sending' AND d.identity = 'whatsapp:${person}'`)
  await system.rows('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM answerd_app')
  const refused = await until('a webhook to be turned away', async () => {
    const answer = await system.post('whatsapp', whatsapp.message(person, 'again', { id: 'wamid.again' }))
    return answer.status !== 200 && answer
  })
  assert.equal(refused.status, 503)
  assert.match(refused.headers.get('retry-after'), /^[0-9]+$/)
  const log = () => system.nodes[0].log
  await until('the log to say what to do', () => /the database takes no webhooks.*permission denied.*HINT: .*GRANT answerd_app/.test(log()))
  await until('the outcome to be refused', () => /actor=deliver msg="database trouble" during="recording"/.test(log()) || /actor=deliver msg="database is away".*permission denied/.test(log()))
  await until('the provider to have it', async () => (await system.sent()).some((entry) => entry.to === '+' + person))
  await system.rows('SELECT grant_roles()')
  await until('webhooks to be taken', async () => (await system.post('whatsapp', whatsapp.message(person, 'again', { id: 'wamid.again' }))).status === 200)
  await system.untilSql('what was sent to be known', `SELECT 1 FROM (${outcome}) AS o WHERE state = 'sent' AND outcome = 'sent'`)
  assert.equal(await system.value(`SELECT count(*)::int FROM attempt WHERE outcome = 'unknown'`), 0)
  assert.equal(await system.value('SELECT count(*)::int FROM parked_event'), 0)
  assert.ok(log().match(/permission denied/g).length < 100, 'and the log is not full of it')
})

test('the commands of operators work, too', async () => {
  const event = await system.value(`SELECT event_id FROM event_log ORDER BY event_id LIMIT 1`)
  const why = await run(['why', '--config', system.config, String(event)], { env: system.environment() })
  assert.equal(why.code, 0, why.stderr)
  const token = await run(['token', 'create', '--name', 'test', '--scopes', 'admin', '--config', system.config], { env: system.environment() })
  assert.equal(token.code, 0, token.stderr)
})

test('what only an owner may do is refused', async () => {
  for (const sql of [
    'DROP TABLE webhook', 'ALTER TABLE message ADD COLUMN x text', 'TRUNCATE message', 'CREATE TABLE mine (x text)',
    `CREATE OR REPLACE FUNCTION why(bigint) RETURNS text LANGUAGE sql AS $$ SELECT '' $$`, 'DROP VIEW conversation_history',
    `UPDATE schema_migration SET checksum = 'x'`, 'SELECT grant_roles()', `CREATE ROLE somebody SUPERUSER`,
    `COPY message TO '/tmp/answerd-roles'`, `SELECT pg_read_file('/etc/passwd')`,
  ]) {
    await assert.rejects(asRole('answerd_app', sql), /permission denied|must be owner|superuser/, sql)
  }
  const migrate = await run(['migrate', '--config', system.config], { env: system.environment() })
  assert.notEqual(migrate.code, 0)
  assert.match(migrate.stderr, /permission denied|must be owner/)
})

test('the read-only role reads the views and nothing else', async () => {
  assert.ok((await asRole('answerd_read', 'SELECT * FROM conversation_list')).length >= 1)
  for (const sql of ['SELECT * FROM webhook', 'SELECT * FROM api_token', 'DELETE FROM message', 'SELECT drop_partitions(1)', 'SELECT make_partitions(3)',
    'SELECT erase_contact(1)', 'SELECT grant_roles()', 'CREATE TABLE mine (x text)']) {
    await assert.rejects(asRole('answerd_read', sql), /permission denied/, sql)
  }
})

test('migrate by the owner grants what was taken away', async () => {
  await system.db.query('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM answerd_app')
  const migrate = await run(['migrate', '--config', system.config], { env: system.environmentBefore() })
  assert.equal(migrate.code, 0, migrate.stderr)
  await until('the grants', async () => (await asRole('answerd_app', 'SELECT count(*) FROM webhook')).length === 1)
})
