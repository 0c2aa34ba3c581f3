// `answerd migrate` that is killed, finds the disk full, or has not the right: it says so, and going on is to run it again.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { canMount, Cluster } from '../e2e/support/cluster.mjs'
import { Link } from '../e2e/support/link.mjs'
import { program, run, until } from '../e2e/support/system.mjs'

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const patience = { timeout: 1800000 }
const configuration = join(tmpdir(), `answerd-migrate-${process.pid}.lua`)
let cluster

before(async () => {
  writeFileSync(configuration, 'database { url = "" }\n')
  cluster = await Cluster.create()
  await cluster.start()
})
after(async () => {
  await cluster?.remove()
  rmSync(configuration, { force: true })
})

const environment = (database, of = cluster) => ({ PGHOST: of.socket, PGPORT: '5432', PGUSER: 'answerd', PGDATABASE: database })
const migrate = (database, { of = cluster, args = [], env = {} } = {}) =>
  run(['migrate', '--config', configuration, ...args], { env: { ...environment(database, of), ...env } })

// All that makes up a schema, as one text: tables with their columns, functions with their bodies, indexes, triggers, rights.
async function schemaOf(database, of = cluster) {
  const rows = await of.run(`
    SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull AS said
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'function ' || p.oid::regprocedure || ' ' || coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), '') || coalesce(p.proconfig::text, '') || p.prosecdef
      FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'rights ' || relname || ' ' || coalesce(relacl::text, '') FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'migration ' || number || ' ' || checksum FROM schema_migration
    ORDER BY 1`, database)
  return rows.map(({ said }) => said).join('\n')
}
let wanted
async function assertIsWhole(database, of = cluster) {
  if (!wanted) {
    await cluster.run('CREATE DATABASE undisturbed')
    assert.equal((await migrate('undisturbed')).code, 0)
    wanted = await schemaOf('undisturbed')
  }
  assert.equal(await schemaOf(database, of), wanted)
}

test('killed again and again, while another one waits for its turn: the last one ends what the first began', patience, async (t) => {
  await cluster.run('CREATE DATABASE killed')
  let kills = 0
  for (let delay = 40; ; delay += 15) {
    const child = spawn(program, ['migrate', '--config', configuration], { env: { ...process.env, ...environment('killed') }, stdio: 'ignore' })
    const ended = once(child, 'exit')
    const waiting = kills % 5 === 4 ? migrate('killed', { args: ['--status'] }) : undefined
    await Promise.race([ended, sleep(delay)])
    child.kill('SIGKILL')
    const [code] = await ended
    if (waiting) assert.equal((await waiting).code, 0, 'the status can be asked at any time')
    if (code === 0) break
    kills++
  }
  const last = await Promise.all([migrate('killed'), migrate('killed')])
  assert.deepEqual(last.map(({ code, stderr }) => [code, stderr]), [[0, ''], [0, '']])
  await assertIsWhole('killed')
  t.diagnostic(`${kills} were killed`)
  assert.ok(kills > 3, `only ${kills} were killed before one came to its end`)
})

test('cut off before and after what ends a migration: it is there and noted, or neither', patience, async () => {
  const link = await new Link(() => join(cluster.socket, '.s.PGSQL.5432')).listen()
  try {
    await cluster.run('CREATE DATABASE cut_off')
    for (const what of [/INSERT INTO schema_migration/, /^COMMIT/]) {
      for (const how of ['cut', 'cut after']) {
        let left = 3
        link.message = ({ sql }) => (what.test(sql) && --left === 0 ? how : undefined)
        const cut = await migrate('cut_off', { env: { PGHOST: '127.0.0.1', PGPORT: String(link.port) } })
        assert.equal(cut.code, 4, `${what} ${how}: ${cut.stdout}${cut.stderr}`)
        const { stdout } = await migrate('cut_off', { args: ['--status'] })
        assert.match(stdout, /^(applied .*\n)+(pending .*\n)+$/)
      }
    }
  } finally {
    await link.close()
  }
  const last = await migrate('cut_off')
  assert.deepEqual([last.code, last.stderr], [0, ''])
  await assertIsWhole('cut_off')
})

test('killed in the middle of one migration: another goes on as soon as PostgreSQL has noticed', patience, async () => {
  await cluster.run('CREATE DATABASE half')
  const child = spawn(program, ['migrate', '--config', configuration], { env: { ...process.env, ...environment('half') }, stdio: 'ignore' })
  // Somebody holds what the next migration needs, so that it stands in its middle.
  const holder = cluster.client('half')
  await holder.connect()
  await until('some to be applied', () => holder.query('BEGIN; LOCK TABLE schema_migration IN SHARE MODE').then(() => true, () => holder.query('ROLLBACK').then(() => false)))
  await until('it to wait', async () => (await cluster.run(`SELECT FROM pg_stat_activity WHERE datname = 'half' AND wait_event_type = 'Lock'`))[0])
  child.kill('SIGKILL')
  const next = migrate('half')
  await until('both to wait', async () => (await cluster.run(`SELECT FROM pg_stat_activity WHERE datname = 'half' AND wait_event_type = 'Lock'`)).length === 2)
  await holder.query('ROLLBACK')
  await holder.end()
  const { code, stdout, stderr } = await next
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^applied /m)
  await assertIsWhole('half')
})

test('a role that may not do it is told which one may', patience, async () => {
  await cluster.run('CREATE DATABASE foreign_database')
  await cluster.run('CREATE ROLE stranger; CREATE ROLE owner_of_it')
  const asStranger = { env: { PGOPTIONS: '-c role=stranger' } }
  const refused = await migrate('foreign_database', asStranger)
  assert.equal(refused.code, 4)
  assert.match(refused.stderr, /permission denied for schema public\nHINT: .*owns the database.*'stranger'/)
  assert.deepEqual(await cluster.run(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`, 'foreign_database'), [])
  // Its owner may, and what is there already is not for others.
  await cluster.run('ALTER DATABASE foreign_database OWNER TO owner_of_it')
  const done = await migrate('foreign_database', { env: { PGOPTIONS: '-c role=owner_of_it' } })
  assert.deepEqual([done.code, done.stderr], [0, ''])
  const later = await migrate('foreign_database', asStranger)
  assert.equal(later.code, 4)
  assert.match(later.stderr, /HINT: .*owns the database.*'stranger'/)
})

test('a standby, or a database that takes no writes, is left as it is', patience, async () => {
  await cluster.run('CREATE DATABASE read_only')
  const refused = await migrate('read_only', { env: { PGOPTIONS: '-c default_transaction_read_only=on' } })
  assert.equal(refused.code, 4)
  assert.match(refused.stderr, /takes no writes|read-only/)
})

const mounts = await canMount()
test('a disk that becomes full: it says so, nothing is half done, and with room it goes on', { ...patience, skip: !mounts && 'nothing can be mounted here' }, async (t) => {
  const small = await Cluster.create({ space: '128m' })
  try {
    await small.start()
    await small.run('CREATE DATABASE full_disk')
    const filler = join(small.mount, 'filler')
    const outcomes = []
    // Room for a little more each time: each try comes further.
    for (let room = 200; outcomes.at(-1) !== 0 && room < 64000; room *= 2) {
      const { bavail, bsize } = statfsSync(small.mount)
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - room * 1024)))
      const tried = await migrate('full_disk', { of: small })
      rmSync(filler)
      // What it recovers from a full disk may fail for want of room as well, some time after the disk has room again.
      await until('PostgreSQL to answer', async () => {
        if (!(await small.isRunning())) await small.start()
        return (await small.run('SELECT 1 AS one'))[0]
      })
      outcomes.push(tried.code)
      if (tried.code !== 0) {
        assert.equal(tried.code, 4, tried.stderr)
        assert.match(tried.stderr, /No space left|disk|full|database|connection/i)
      }
      const rows = await small.run(`SELECT to_regclass('schema_migration') IS NOT NULL AS there`, 'full_disk')
      if (rows[0].there) {
        const status = await migrate('full_disk', { of: small, args: ['--status'] })
        assert.match(status.stdout, /^(applied .*\n)*(pending .*\n)*$/, 'what is applied comes before what is not')
      }
      t.diagnostic(`with room for ${room} KB: exit ${tried.code} ${tried.stderr.trim()}`)
    }
    assert.ok(outcomes.filter((code) => code !== 0).length >= 2, `${outcomes}`)
    assert.equal(outcomes.at(-1), 0)
    await assertIsWhole('full_disk', small)
  } finally {
    await small.remove()
  }
})
