// Killing between any two statements: one fixed scenario is played again and again, and the node is killed at its first,
// second, third … message to PostgreSQL, before the message gets there or after it did. Whatever the moment, the end is the
// same as that of the run that nobody disturbed; only a message that was being sent may be called unknown.
//
// ANSWERD_STEPS says how many moments of each actor are tried (3), spread over all there are; `all` tries every one, both
// ways, which takes hours: ANSWERD_STEPS_PART=2/50 tries the second fiftieth of them.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe, whatsapp } from '../e2e/support/providers.mjs'
import { Cluster } from '../e2e/support/cluster.mjs'
import { until } from '../e2e/support/system.mjs'
import { Fleet } from './fleet.mjs'
import { Provider } from './provider.mjs'

const person = '15559990001'
const actors = ['answerd ingest', 'answerd engine', 'answerd engine notes', 'answerd deliver']
const everyOne = process.env.ANSWERD_STEPS === 'all'
const [part, parts] = (process.env.ANSWERD_STEPS_PART ?? '1/1').split('/').map(Number)
let cluster
let played = 0

before(async () => {
  cluster = await Cluster.create()
  await cluster.start()
  const fleet = new Fleet({ cluster, database: 'steps', count: 0, provider: 'http://127.0.0.1:1' })
  await fleet.prepare()
  await fleet.stop()
})
after(() => cluster?.remove())

const scenario = [
  ['whatsapp', () => whatsapp.message(person, 'r1p1m1 echo hold', { id: 'wamid.r1p1m1' })],
  ['whatsapp', () => whatsapp.message(person, 'r1p1m2 many', { id: 'wamid.r1p1m2' })],
  ['stripe', () => stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_steps', phone: person }), { id: 'evt_steps_1' })],
  ['whatsapp', () => whatsapp.message(person, 'r1p1m3 emit', { id: 'wamid.r1p1m3' })],
  ['whatsapp', () => whatsapp.message(person, 'r1p1m4 timer 1s', { id: 'wamid.r1p1m4' })],
  ['whatsapp', () => whatsapp.message(person, 'r1p1m5 hook', { id: 'wamid.r1p1m5' })],
]

// Plays it and kills the node at the `at`-th message of `actor`; returns how many messages each actor had, and the end.
async function play(actor, at, way) {
  const counts = Object.fromEntries(actors.map((name) => [name, 0]))
  const database = `steps_${++played}`
  let fleet
  const provider = new Provider({ seed: 1, post: (source, webhook) => fleet.deliver(source, webhook) })
  await provider.listen()
  fleet = new Fleet({ cluster, database, count: 1, provider: provider.url, threads: 1, settle: '1s', sendTimeout: 20000, template: 'steps' })
  await fleet.prepare()
  const pool = cluster.pool(database)
  let killed = null
  try {
    await fleet.start()
    const [node] = fleet.nodes
    fleet.onMessage = (_, { application, type }) => {
      if (!(application in counts) || type === 'startup' || killed) return undefined
      if (++counts[application] !== at || application !== actor) return undefined
      killed = (async () => {
        // After it: the statement is carried out, and nobody is there to hear of it.
        if (way === 'after') await new Promise((done) => setTimeout(done, 30))
        await fleet.kill(node)
        node.link.cutAll()
        fleet.spawn(node)
        await fleet.ready()
      })()
      return way === 'after' ? 'cut after' : 'cut'
    }
    for (const [source, webhook] of scenario) await fleet.deliver(source, webhook)
    await until('everything to be done', async () => {
      await provider.quiet()
      const { rows: [busy] } = await pool.query(`SELECT (SELECT count(*) FROM work)::int + (SELECT count(*) FROM outbox)::int
        + (SELECT count(*) FROM timer WHERE due_at < now() + interval '1 minute')::int AS count`)
      return busy.count === 0
    })
    fleet.onMessage = undefined // no kill of its own while the node is stopped
    await killed
    return { counts, wasKilled: killed !== null, end: await theEnd(pool), requests: provider.requests }
  } finally {
    const problems = await fleet.stop()
    await provider.close()
    await pool.end()
    await cluster.run(`DROP DATABASE ${database} WITH (FORCE)`)
    assert.deepEqual(problems, [])
  }
}

// Everything that must be the same, without ids and times.
async function theEnd(pool) {
  const list = async (sql) => (await pool.query(sql)).rows.map((row) => JSON.stringify(Object.values(row))).sort()
  return {
    events: await list(`SELECT type, CASE WHEN key ~ '[0-9]{4}' AND key !~ '^(wamid|evt)' THEN '' ELSE key END, source, (SELECT count(*) FROM handling h WHERE h.event_id = e.id)::int FROM event e WHERE type <> 'message.status'`),
    traces: await list(`SELECT e.type, t.rule, t.verdict, jsonb_array_length(t.effects) FROM rule_trace t JOIN event e ON e.id = t.event_id WHERE e.type <> 'message.status'`),
    messages: await list(`SELECT direction, kind, text, author FROM message`),
    states: await list(`SELECT text, CASE WHEN state = 'unknown' THEN 'unknown' WHEN direction = 'out' THEN 'sent' ELSE state END FROM message WHERE direction = 'out'`),
    conversations: await list('SELECT topic, reference, state, tags, attributes FROM conversation'),
    contacts: await list('SELECT name, attributes, opted_out FROM contact'),
    outreaches: await list('SELECT reference, state, step FROM outreach'),
    timers: await list('SELECT name FROM timer'),
    hooks: await list(`SELECT kind, endpoint FROM delivery`),
    parked: await list('SELECT problem FROM parked_event'),
  }
}

let calm
test('the run that nobody disturbs', { timeout: 600000 }, async (t) => {
  calm = await play(null, 0, '')
  t.diagnostic(JSON.stringify(calm.counts))
  for (const actor of actors) assert.ok(calm.counts[actor] > 3, actor)
})

for (const actor of actors) {
  test(`${actor}: killed at any of its messages`, { timeout: 7200000 }, async (t) => {
    // Polls make the number of messages vary: the last ones may not be reached.
    const last = calm.counts[actor]
    const wanted = everyOne ? last : Math.min(last, Number(process.env.ANSWERD_STEPS ?? 3))
    let kills = 0
    let unknown = 0
    for (let number = part - 1; number < wanted; number += parts) {
      const at = 1 + Math.floor((number * last) / wanted)
      for (const way of number % 2 || everyOne ? ['before', 'after'] : [['before', 'after'][(number / 2) % 2]]) {
        const run = await play(actor, at, way)
        const where = `${actor} killed ${way} message ${at}`
        kills += run.wasKilled
        const { states, ...rest } = run.end
        const { states: calmStates, ...calmRest } = calm.end
        assert.deepEqual(rest, calmRest, where)
        // The rest is sent; an unknown one is named, and at most one request of it left.
        const unknowns = states.filter((row) => row.endsWith(',"unknown"]'))
        unknown += unknowns.length
        assert.deepEqual(states.map((row) => row.replace('"unknown"]', '"sent"]')).sort(), calmStates, where)
        assert.ok(unknowns.length <= 4, where)
        const sent = run.requests.filter((request) => request.source !== 'hook').map((request) => request.text)
        assert.equal(new Set(sent).size, sent.length, `${where}: something was sent twice: ${sent}`)
        for (const row of states) {
          const [text, state] = JSON.parse(row)
          if (state === 'sent' && text && /r1p1/.test(text)) assert.ok(sent.includes(text), `${where}: '${text}' is called sent and never left`)
        }
      }
    }
    t.diagnostic(`${kills} kills, ${unknown} messages called unknown`)
    // Of a small part every moment may be an idle poll that did not come this time.
    assert.ok(kills > 0 || parts > 1)
  })
}
