// A primary that is lost and a standby that takes its place: nothing that was answered 200 is lost, the nodes find their
// way without being started again, and say meanwhile what is the matter.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whatsapp } from '../e2e/support/providers.mjs'
import { Cluster } from '../e2e/support/cluster.mjs'
import { until } from '../e2e/support/system.mjs'
import { Fleet } from './fleet.mjs'
import { Provider } from './provider.mjs'

const patience = { timeout: 1800000 }
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

// A primary whose commits wait for its standby, two nodes that know both, and people who write all the time.
async function setUp() {
  const primary = await Cluster.create({ settings: { synchronous_standby_names: "'standby'" } })
  // Commits wait for a standby, and there is none yet: what the databases are made with does not.
  primary.configure({ synchronous_standby_names: "''" })
  await primary.start()
  await primary.run('CREATE DATABASE answerd')
  let fleet
  const provider = new Provider({ seed: 1, post: (source, webhook) => fleet.deliver(source, webhook) })
  await provider.listen()
  fleet = new Fleet({ cluster: primary, database: 'failover', count: 2, provider: provider.url })
  await fleet.prepare()
  const standby = await primary.standby({ synchronous_standby_names: "''" })
  await standby.start()
  primary.configure({ synchronous_standby_names: "'standby'" })
  await primary.run('SELECT pg_reload_conf()')
  await until('the standby to be synchronous', async () => (await primary.run(`SELECT sync_state FROM pg_stat_replication`))[0]?.sync_state === 'sync')
  fleet.options.url = `host=${primary.socket},${standby.socket} user=answerd dbname=failover target_session_attrs=read-write connect_timeout=2`
  await fleet.start()
  return { primary, standby, provider, fleet, pids: fleet.nodes.map((node) => node.process.pid) }
}

// Posts until `stop()`; every message is posted again until it is answered 200. `answered` has the time of each.
function write(fleet) {
  const answered = new Map()
  let over = false
  const people = Array.from({ length: 8 }, (_, person) => `155570000${person}`)
  const writing = people.map(async (person, at) => {
    for (let number = 1; !over; number++) {
      const id = `wamid.${person}.${number}`
      await fleet.deliver('whatsapp', whatsapp.message(person, `hello ${number}`, { id }), { node: at })
      answered.set(id, Date.now())
      await sleep(30)
    }
  })
  return {
    answered,
    stop: async () => {
      over = true
      await Promise.all(writing)
    },
  }
}

const firstAfter = (times, moment) => Math.min(...[...times].filter((time) => time > moment))
const ready = async (node) => fetch(`http://127.0.0.1:${node.adminPort}/readyz`).then(async (answer) => ({ status: answer.status, text: await answer.text() }))

async function tearDown({ primary, standby, provider, fleet }, pool) {
  const problems = await fleet.stop()
  await provider.close()
  await pool?.end()
  await standby.remove()
  await primary.remove()
  assert.deepEqual(problems, [])
}

// Everything acknowledged is in the standby's books, once, and was handled.
async function assertNothingIsLost(pool, answered) {
  await until('everything to be handled', async () => (await pool.query('SELECT NOT EXISTS (SELECT FROM work) AS done')).rows[0].done)
  const kept = (await pool.query(`SELECT key, count(*)::int FROM event WHERE type = 'message.received' GROUP BY 1`)).rows
  assert.deepEqual(kept.filter((row) => row.count !== 1), [])
  const known = new Set(kept.map((row) => row.key))
  assert.deepEqual([...answered.keys()].filter((id) => !known.has(id)), [], 'acknowledged and lost')
  const handled = (await pool.query(`SELECT count(*)::int FROM event e WHERE (SELECT count(*) FROM handling h WHERE h.event_id = e.id) <> 1`)).rows[0].count
  assert.equal(handled, 0, 'events that were not handled once')
}

async function failOver(t, lose, limits) {
  const scene = await setUp()
  const { standby, fleet, pids } = scene
  let pool
  try {
    const writing = write(fleet)
    await until('traffic', () => writing.answered.size > 100)
    const lost = Date.now()
    await lose(scene)
    const told = Promise.all(fleet.nodes.map((node) => until('a node to say that it is not ready', async () => {
      const said = await ready(node)
      return said.status === 503 && { at: Date.now() - lost, text: said.text }
    })))
    // Whoever watches over the cluster takes a moment to decide.
    const promoted = sleep(limits.decide).then(() => standby.promote()).then(() => Date.now())
    const says = await told
    await promoted
    pool = standby.pool('failover')
    await until('the nodes to be ready', async () => (await Promise.all(fleet.nodes.map(ready))).every((said) => said.status === 200))
    const firstAnswer = await until('an answer', () => {
      const at = firstAfter(writing.answered.values(), lost + limits.decide)
      return Number.isFinite(at) && at
    })
    const firstHandled = await until('an event to be handled', async () => (await pool.query(`SELECT extract(epoch FROM min(handled_at)) * 1000 AS at FROM handling WHERE handled_at > to_timestamp($1 / 1000.0)`, [await promoted])).rows[0].at)
    await until('more traffic', () => [...writing.answered.values()].filter((at) => at > firstAnswer).length > 100)
    await writing.stop()
    await assertNothingIsLost(pool, writing.answered)
    assert.deepEqual(fleet.nodes.map((node) => node.process.pid), pids, 'no node was started again')
    assert.ok(says.every(({ text }) => /database/.test(text)), JSON.stringify(says))
    t.diagnostic(`from the loss: not ready after ${Math.max(...says.map(({ at }) => at))} ms, promoted after ${(await promoted) - lost} ms, first 200 after ${firstAnswer - lost} ms, first event handled after ${Math.round(firstHandled - lost)} ms; ${writing.answered.size} webhooks`)
    return Math.max(firstAnswer, firstHandled) - (await promoted)
  } finally {
    await tearDown(scene, pool)
  }
}

// Nothing may be lost in any of the tries; how long it takes is also a matter of the machine, and the best of them counts.
async function failOverSoon(t, lose, limits) {
  const outages = []
  do outages.push(await failOver(t, lose, limits))
  while (outages.at(-1) >= limits.outage && outages.length < 4)
  assert.ok(Math.min(...outages) < limits.outage, `from the promotion to the first answer and the first event: ${outages} ms`)
}

test('a primary that is killed: the standby is promoted, and the nodes go on there', patience, (t) =>
  failOverSoon(t, ({ primary }) => primary.kill(), { decide: 1000, outage: 5000 }))

// Its connections stay open and say nothing: what ends them is a deadline of our own, or that it answers to no other
// connection either.
test('a primary that hangs is left as well', patience, (t) =>
  failOverSoon(t, ({ primary }) => primary.freeze(), { decide: 1000, outage: 10000 }))

test('a node that knows only a standby is not ready and says so, until it is promoted', patience, async () => {
  const scene = await setUp()
  const { standby, fleet } = scene
  try {
    fleet.options.url = `host=${standby.socket} user=answerd dbname=failover`
    const node = await fleet.add()
    await until('the node to say why it is not ready', async () => {
      const said = await ready(node)
      return said.status === 503 && /takes no writes/.test(node.log)
    })
    assert.equal((await fetch(`http://127.0.0.1:${node.port}/webhooks/whatsapp`, { method: 'POST', ...whatsapp.message('15557000001', 'hi') })).status, 503)
    await scene.primary.kill()
    await standby.promote()
    await until('the node to be ready', async () => (await ready(node)).status === 200)
    assert.equal((await fetch(`http://127.0.0.1:${node.port}/webhooks/whatsapp`, { method: 'POST', ...whatsapp.message('15557000001', 'hi') })).status, 200)
  } finally {
    await tearDown(scene)
  }
})

// Who connects is let in and never answered: only a deadline tells. Providers give up after 10 seconds, most of them later.
test('a database that hangs behind a pooler: providers are told to come again in time, and nodes say that they are not ready', patience, async (t) => {
  const cluster = await Cluster.create()
  await cluster.start()
  let fleet
  const provider = new Provider({ seed: 1, post: (source, webhook) => fleet.deliver(source, webhook) })
  await provider.listen()
  fleet = new Fleet({ cluster, database: 'pooled', count: 2, provider: provider.url, commitDeadline: '8s' })
  const post = async (node, id) => {
    const began = Date.now()
    const answer = await fetch(`http://127.0.0.1:${node.port}/webhooks/whatsapp`, { method: 'POST', ...whatsapp.message('15557000001', 'hello', { id }) })
    await answer.arrayBuffer()
    return { id, status: answer.status, retryAfter: answer.headers.get('retry-after'), took: Date.now() - began }
  }
  try {
    await fleet.prepare()
    await fleet.start()
    const [busy, quiet] = fleet.nodes
    assert.equal((await post(busy, 'wamid.before')).status, 200)
    const hangs = Date.now()
    for (const node of fleet.nodes) Object.assign(node.link, { blocked: true, greets: true })
    const toldNotReady = until('the node without traffic to say that it is not ready', async () => (await ready(quiet)).status === 503 && Date.now() - hangs)
    // Those that come while the first one waits for its commit wait with it, and no longer than it.
    const first = []
    for (let number = 0; number < 20; number++) {
      first.push(post(busy, `wamid.first.${number}`))
      await sleep(200)
    }
    const answers = await Promise.all(first)
    assert.deepEqual(answers.filter(({ status, retryAfter }) => status !== 503 || !(Number(retryAfter) > 0)), [])
    const later = []
    for (let number = 0; number < 20; number++) {
      later.push(await post(busy, `wamid.later.${number}`))
      await sleep(200)
    }
    assert.deepEqual(later.filter(({ status, retryAfter }) => status !== 503 || !(Number(retryAfter) > 0)), [])
    const longest = Math.max(...answers.map(({ took }) => took))
    const longestLater = Math.max(...later.map(({ took }) => took))
    const notReady = await toldNotReady
    assert.ok(longest < 9500, `a webhook was answered after ${longest} ms`)
    assert.ok(longestLater < 1000, `a webhook was answered after ${longestLater} ms though it was known that there is no database`)
    assert.ok(notReady < 9000, `not ready after ${notReady} ms`)

    for (const { link } of fleet.nodes) Object.assign(link, { blocked: false }).cutAll()
    const back = Date.now()
    await until('the nodes to be ready', async () => (await Promise.all(fleet.nodes.map(ready))).every((said) => said.status === 200))
    for (const { id } of [...answers, ...later]) await until(`${id} to be taken`, async () => (await post(busy, id)).status === 200)
    const took = Date.now() - back
    const pool = cluster.pool('pooled')
    try {
      await until('everything to be handled', async () => (await pool.query('SELECT NOT EXISTS (SELECT FROM work) AS done')).rows[0].done)
      const { rows } = await pool.query(`SELECT count(*)::int AS events, count(DISTINCT key)::int AS keys FROM event WHERE type = 'message.received'`)
      assert.deepEqual(rows, [{ events: 41, keys: 41 }])
    } finally {
      await pool.end()
    }
    t.diagnostic(`from the hang: webhooks are answered 503 after at most ${longest} ms, later ones after at most ${longestLater} ms, not ready after ${notReady} ms; all is taken ${took} ms after it is back`)
  } finally {
    const problems = await fleet.stop()
    await provider.close()
    await cluster.remove()
    assert.deepEqual(problems, [])
  }
})
