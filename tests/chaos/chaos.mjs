// Plays rounds of traffic and trouble, and compares what came of each with an oracle. See README.md.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { canMount, Cluster } from '../e2e/support/cluster.mjs'
import { project, until } from '../e2e/support/system.mjs'
import { Faults, kinds, planBreaks, planFaults, usual } from './faults.mjs'
import { Fleet } from './fleet.mjs'
import { Forgotten } from './forgotten.mjs'
import { LedgerWatch, Oracle } from './oracle.mjs'
import { Provider } from './provider.mjs'
import { Random } from './random.mjs'
import { channels, Round } from './traffic.mjs'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
    nodes: { type: 'string', default: '2' },
    people: { type: 'string', default: '10' },
    faults: { type: 'string', default: usual.join(',') },
    seconds: { type: 'string', default: '0' },
    'new-database': { type: 'string', default: '40' },
    sabotage: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  console.log(`tests/chaos/run [--rounds N] [--seed S] [--nodes K] [--faults ${kinds.join(',')}|none] [--first N] [--people N]
                [--seconds N] [--new-database N] [--sabotage NAME] [--keep]
  --rounds N        how many rounds (10); each is about five seconds
  --seconds N       no further round begins after so long
  --seed S          of traffic, faults and the providers' behaviour
  --first N         the number of the first round: a failing one can be played alone
  --new-database N  a fresh database after so many rounds (40)
  --sabotage NAME   breaks a promise first (sabotage/NAME.sql): the rounds have to fail
  --keep            go on after a round that failed`)
  process.exit(0)
}
const seed = Number(options.seed)
const nodes = Number(options.nodes)
const people = Number(options.people)
let faults = options.faults === 'none' ? [] : options.faults.split(',')
for (const fault of faults) if (!kinds.includes(fault)) throw new Error(`unknown fault '${fault}'; there are: ${kinds.join(', ')}`)
if (faults.includes('disk') && !(await canMount())) {
  console.log('disk: left out, this machine does not let us mount a file system that could be filled')
  faults = faults.filter((fault) => fault !== 'disk')
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
let cluster, pool, fleet, provider
const counts = { rounds: 0, webhooks: 0, sends: 0, unknown: 0, faults: {} }

async function open(number) {
  const database = `chaos_${number}`
  provider = new Provider({ seed, post: (source, webhook) => fleet.deliver(source, webhook, { node: provider.requests.length }) })
  await provider.listen()
  fleet = new Fleet({ cluster, database, count: nodes, provider: provider.url, sabotage: options.sabotage, witness: true })
  await fleet.prepare()
  pool = cluster.pool(database)
  await fleet.start()
}

async function close() {
  const problems = await fleet.stop()
  await provider.close()
  await pool.end()
  await cluster.run(`DROP DATABASE ${fleet.database} WITH (FORCE)`)
  fleet = null
  return problems
}

// --- one round -------------------------------------------------------------------------------------------------------------

async function playStream(stream, random, late) {
  for (const act of stream.acts) {
    const node = random.between(0, nodes - 1)
    const broken = planBreaks(random, faults)
    await sleep(act.pause)
    if (act.source === 'api') {
      await Promise.all(Array.from({ length: act.copies === 'concurrent' ? 2 : 1 }, (_, copy) => fleet.call('/events', act.body, act.id, node + copy)))
      continue
    }
    const webhook = act.webhook()
    const copies = act.copies === 'concurrent' ? [0, 1] : [0]
    await Promise.all(copies.map((copy) => fleet.deliver(act.source, webhook, { node: node + copy, broken: copy ? [] : broken })))
    if (act.copies === 'late') late.push({ source: act.source, webhook })
  }
}

// A colleague resolves the conversation, a survey is asked, and the person answers it with a number.
async function playSurveys(round) {
  await Promise.all(round.surveys.map(async (survey, at) => {
    const { person, score } = survey
    const conversation = await find(`SELECT v.id::text FROM conversation v JOIN identity i USING (contact_id) WHERE i.identity = $1 AND v.topic = 'support' AND v.last_inbound_at IS NOT NULL`, [person.identity])
    if (!conversation) return void (survey.skipped = true)
    await fleet.call(`/conversations/${conversation}/resolve`, {}, `resolve ${person.identity}`, at)
    await until('the survey to be asked', () => find(`SELECT s.id::text FROM survey s JOIN identity i USING (contact_id) WHERE i.identity = $1 AND s.state = 'asked'`, [person.identity]))
    await fleet.deliver('whatsapp', channels.whatsapp.says(person.handle, String(score), `wamid.answer.${person.handle}`), { node: at })
  }))
}

const find = async (sql, values) => Object.values((await pool.query(sql, values).catch(() => ({ rows: [] }))).rows[0] ?? {})[0]

// Until nothing is to be done any more. What waits for its time is told that it has come: minutes are not waited for.
function untilQuiet() {
  let peaceful = 0
  return until('everything to be done', async () => {
    await provider.quiet()
    await pool.query(`UPDATE outbox SET due_at = now() WHERE state = 'waiting' AND attempts > 0 AND due_at > now()`)
    const { rows: [busy] } = await pool.query(`SELECT (SELECT count(*) FROM work)::int AS work, (SELECT count(*) FROM outbox)::int AS outbox,
      (SELECT count(*) FROM timer WHERE due_at < now() + interval '1 minute')::int AS timers`)
    peaceful = busy.work + busy.outbox + busy.timers + provider.posts.size === 0 ? peaceful + 1 : 0
    return peaceful >= 3
  }, 300000)
}

async function playRound(number) {
  const round = new Round(seed, number, { people })
  const random = new Random(seed, number, 'play')
  const plan = planFaults(seed, number, nodes, faults)
  const from = provider.requests.length
  provider.faulty = faults.includes('provider')
  const trouble = new Faults({ fleet, cluster, pool, plan })
  const watch = new LedgerWatch(pool, `% r${number}p%`)
  const late = []
  const forgotten = new Forgotten({ seed, round: number, nodes, fleet, pool })
  const findings = []
  await pool.query('TRUNCATE witness')
  try {
    await Promise.all([trouble.play(), forgotten.play(), ...round.streams.map((stream, at) => playStream(stream, new Random(seed, number, 'stream', at), late))])
    await trouble.heal()
    await Promise.all(late.map(({ source, webhook }) => fleet.deliver(source, webhook, { node: random.between(0, nodes - 1) })))
    await untilQuiet()
    await playSurveys(round)
    await untilQuiet()
    findings.push(...await new Oracle({ round, fleet, provider, faults: trouble, pool, from }).check(), ...await forgotten.check())
  } catch (error) {
    fleet.abandoned = true
    findings.push(`stuck: ${error.stack}`, ...(await describeTrouble()))
    findings.push(...await new Oracle({ round, fleet, provider, faults: trouble, pool, from }).check().catch(() => []))
  }
  findings.push(...await watch.end(), ...fleet.unexpected, ...provider.failures)
  counts.rounds++
  counts.sends += provider.requests.length - from
  for (const fault of trouble.done) counts.faults[fault.kind] = (counts.faults[fault.kind] ?? 0) + 1
  return { findings, plan, trouble, round }
}

async function describeTrouble() {
  const tell = async (what, sql) => `${what}: ${JSON.stringify((await pool.query(sql).catch((error) => ({ rows: [error.message] }))).rows)}`
  return [
    await tell('work', 'SELECT * FROM work ORDER BY position LIMIT 10'),
    await tell('outbox', 'SELECT * FROM outbox ORDER BY position LIMIT 10'),
    await tell('timers', `SELECT name, due_at FROM timer WHERE due_at < now() + interval '1 minute' LIMIT 10`),
    await tell('sessions', `SELECT pid, application_name, state, wait_event, left(query, 60) AS query, now() - state_change AS since FROM pg_stat_activity WHERE application_name LIKE 'answerd%'`),
    await tell('locks', `SELECT pid, locktype, classid, objid, mode, granted FROM pg_locks WHERE locktype = 'advisory'`),
    `posts of statuses that wait: ${provider.posts.size}`,
  ]
}

async function report(number, { findings, plan, trouble }) {
  const folder = join(project, '.data/chaos', `${seed}-${number}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'findings'), findings.join('\n') + '\n')
  writeFileSync(join(folder, 'faults.json'), JSON.stringify({ plan, done: trouble.done }, null, 1))
  writeFileSync(join(folder, 'requests.json'), JSON.stringify(provider.requests, null, 1))
  const table = (sql) => pool.query(sql).then(({ rows }) => rows, (error) => error.message)
  writeFileSync(join(folder, 'deliveries.json'), JSON.stringify({
    deliveries: await table(`SELECT d.*, m.text, m.state AS message_state FROM delivery d LEFT JOIN message m ON m.id = d.message_id ORDER BY d.id`),
    attempts: await table('SELECT * FROM attempt ORDER BY delivery_id, started_at'), steps: await table('SELECT * FROM witness ORDER BY number'),
  }, null, 1))
  copyFileSync(cluster.log, join(folder, 'postgresql.log'))
  for (const node of fleet.nodes) writeFileSync(join(folder, `node-${node.number}.log`), node.log)
  console.log(`round ${number} FAILED, ${findings.length} findings; logs, faults and requests are in ${folder}`)
  for (const finding of findings.slice(0, 30)) console.log(`  ${finding}`)
  console.log(`again: tests/chaos/run --seed ${seed} --first ${number} --rounds 1 --nodes ${nodes} --people ${people} --faults ${faults.join(',') || 'none'}`)
}

// --- all rounds ------------------------------------------------------------------------------------------------------------

let failed = 0
const began = Date.now()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    for (const node of fleet?.nodes ?? []) node.process.kill('SIGKILL')
    await cluster?.remove().catch(() => {})
    process.exit(130)
  })
}
cluster = await Cluster.create({ space: faults.includes('disk') ? '400m' : undefined, ownClock: faults.includes('clock') })
try {
  await cluster.start()
  for (let at = 0; at < Number(options.rounds); at++) {
    const number = Number(options.first) + at
    if (Number(options.seconds) && Date.now() - began > Number(options.seconds) * 1000) break
    if (!fleet) await open(number)
    const started = Date.now()
    const result = await playRound(number)
    if (result.findings.length) {
      failed++
      await report(number, result)
      if (!options.keep) break
    } else {
      console.log(`round ${number} ok: ${result.round.sends.size} sends, ${result.trouble.done.length} faults (${result.trouble.done.map((fault) => fault.kind).join(' ')}), ${Date.now() - started} ms`)
    }
    if (result.findings.length && process.env.CHAOS_WAIT) {
      console.log(`psql -h ${cluster.socket} -U answerd ${fleet.database}`)
      await sleep(Number(process.env.CHAOS_WAIT) * 1000)
    }
    if (result.findings.length || (at + 1) % Number(options['new-database']) === 0) {
      const problems = await close()
      if (problems.length && !result.findings.length) {
        failed++
        console.log(problems.join('\n'))
      }
    }
  }
  if (fleet) {
    const problems = await close()
    if (problems.length && !failed) {
      failed++
      console.log(problems.join('\n'))
    }
  }
} finally {
  await cluster.remove()
}
console.log(`${counts.rounds} rounds of seed ${seed} with ${nodes} nodes, ${failed} failed; ${counts.sends} requests of answerd; ${Math.round((Date.now() - began) / 1000)} s; faults: ${JSON.stringify(counts.faults)}`)
process.exit(failed ? 1 : 0)
