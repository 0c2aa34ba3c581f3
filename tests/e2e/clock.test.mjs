// A machine whose clock is minutes away from the database's, to either side: what is due is due all the same, once, and
// the operator is told.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster } from './support/cluster.mjs'
import { whatsapp } from './support/providers.mjs'
import { System, until } from './support/system.mjs'

const rules = `
cron "nightly" { schedule = "0 3 * * *" }
rule { name = "nightly", doc = "Nothing.", on = { "cron.nightly" }, run = function(e, fx) end }
rule { name = "answer", doc = "Answers, and asks later.", on = { "message.received" }, run = function(e, fx)
  local c = fx:open_conversation { topic = "support" }
  c:send { text = "echo " .. e.message.text }
  c:after("5s", "ask")
end }
rule { name = "ask", doc = "Asks.", on = { "timer.ask" }, run = function(e, fx) e.conversation:send { text = "well?" } end }
`

let cluster
let system
let people = 0

before(async () => {
  cluster = await Cluster.create({ ownClock: true })
  await cluster.start()
  Object.assign(process.env, { PGHOST: cluster.socket, PGUSER: 'answerd', PGPORT: '5432' })
  system = await System.start({ rules: null, files: { 'rules.lua': rules } })
})
after(async () => {
  await system?.stop()
  await cluster?.remove()
})

const metric = async (name) => Number((await (await fetch(`${system.admin}/metrics`)).text()).match(new RegExp(`^${name} (.*)$`, 'm'))?.[1])
const person = () => `1555640${String(++people).padStart(4, '0')}`
const sent = async (to) => (await system.sent()).filter((entry) => entry.to === '+' + to).map((entry) => entry.body.text.body)

// Far less than the clocks are apart.
const soon = 60000

for (const [ahead, where] of [[-180, 'ahead of'], [180, 'behind']]) {
  test(`this machine's clock is three minutes ${where} the database's: people are told, and it is followed`, async () => {
    cluster.setClock(ahead)
    await until('the metric', async () => Math.abs((await metric('answerd_clock_ahead_seconds')) + ahead) < 1)
    await until('the log', () => system.nodes[0].log.includes(`ahead_seconds=${-ahead}.0 hint="set both by NTP`))
  })

  test(`${where} it: answers, what is armed and what is tried again are neither late nor early`, async () => {
    const [one, other] = [person(), person()]
    await system.faults({ source: 'whatsapp', kind: 'rate_limit', times: 1 })
    await system.post('whatsapp', whatsapp.message(other, 'hello'))
    const wait = await system.untilSql('the send that failed to wait', `SELECT extract(epoch FROM o.due_at - d.last_attempt_at)::float8
      FROM outbox AS o JOIN delivery AS d ON d.id = o.delivery_id WHERE d.identity = $1 AND d.attempts = 1 AND o.due_at > d.last_attempt_at`, [`whatsapp:${other}`], soon)
    assert.ok(wait > 1 && wait < 60, `it is tried again after ${wait} s`)
    await system.post('whatsapp', whatsapp.message(one, 'hello'))
    await until('the answer', async () => (await sent(one)).includes('echo hello'), soon)
    const looks = await metric('answerd_database_round_trips_total{actor="deliver"}')
    await until('the timer', async () => (await sent(one)).includes('well?'), soon)
    await until('the second try', async () => (await sent(other)).includes('echo hello'), soon)
    assert.ok((await metric('answerd_database_round_trips_total{actor="deliver"}')) - looks < 300, 'nobody looks again and again for what is not due')
  })

  test(`${where} it: a cron fires at its time, once`, async () => {
    const fired = `SELECT count(*)::int FROM event WHERE type = 'cron.nightly'`
    const before = await system.value(fired)
    await system.rows(`UPDATE cron SET next_at = now()`)
    await system.untilSql('the cron', `SELECT (${fired}) > $1`, [before], soon)
    await system.untilSql('its next time', `SELECT next_at > now() + interval '1 second' FROM cron`, [], soon)
    assert.equal(await system.value(fired), before + 1)
  })
}

test('clocks that agree again are told, too', async () => {
  cluster.setClock(0)
  await until('the log', () => system.nodes[0].log.includes("agrees with the database's again"))
})

test('a clock that jumps over all months that were prepared: webhooks are taken within seconds', async () => {
  const months = `SELECT count(*)::int FROM pg_inherits WHERE inhparent = 'webhook'::regclass`
  const before = await system.value(months)
  cluster.setClock(200 * 86400)
  await system.untilSql('the months', `SELECT (${months}) > $1`, [before], soon)
  const who = person()
  await system.post('whatsapp', whatsapp.message(who, 'hello'))
  await system.untilSql('the message', `SELECT EXISTS (SELECT FROM message WHERE identity = $1 AND text = 'hello')`, [`whatsapp:${who}`], soon)
})
