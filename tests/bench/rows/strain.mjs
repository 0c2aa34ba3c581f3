// (f) What is left of the throughput when the database is full, work waits, a transaction elsewhere holds a snapshot, or many
// connections are idle. Each is compared with the same server without it, in the same run. Ten million events and a
// backlog of a million are for --long; without it there are fewer of them, and the line says how many.

import pg from 'pg'
import { Answerd, checkpoint, dropDatabase, load, query, sleep } from '../system.mjs'
import { median, spread } from '../report.mjs'

// Copies of the rows that a load has stored, as if they had come before.
const recorded = (count) => `
  INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, parser)
  SELECT -n, w.received_at, w.source, w.headers, w.body, 1, 1, w.parser
    FROM generate_series(1, ${count}) AS n, (SELECT * FROM webhook LIMIT 1) AS w;
  INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, doc)
  SELECT -n, e.received_at, e.occurred_at, -n, e.source, e.type, 'recorded:' || n, e.lane, e.doc
    FROM generate_series(1, ${count}) AS n, (SELECT * FROM event LIMIT 1) AS e;
  INSERT INTO event_key (month, source, digest)
  SELECT month_of(now()), 'whatsapp', event_key_digest('recorded:' || n) FROM generate_series(1, ${count}) AS n;`

const backlog = (count) => `
  INSERT INTO work (event_id, event_received_at, lane)
  SELECT e.id, e.received_at, (hashint8(n) & 1073741823) FROM generate_series(1, ${count}) AS n, (SELECT * FROM event LIMIT 1) AS e;`

export async function strain(report, options) {
  const plain = await Answerd.prepare('bench_plain')
  const strained = await Answerd.prepare('bench_strained')
  await plain.start('ingest')
  await strained.start('ingest')
  for (const server of [plain, strained]) await load({ port: server.port, connections: 16, requests: 1000, contacts: 100 })

  async function compare(what, least, more = {}) {
    const rates = []
    const ratios = []
    const others = []
    for (let i = 0; i < options.rounds; i++) {
      const round = {}
      // Which of both comes first changes from round to round.
      for (const server of i % 2 ? [strained, plain] : [plain, strained]) {
        await checkpoint()
        const its = server === strained ? more : {}
        round[server.name] = (await load({ port: server.port, connections: options.connections, seconds: options.seconds, warmup: options.warmup, ...its })).per_second
      }
      rates.push(round.bench_strained)
      others.push(round.bench_plain)
      ratios.push(round.bench_strained / round.bench_plain)
    }
    report.add({ part: '(f)', what: `webhooks/s with ${what}`, unit: '/s', value: median(rates), against: 'without', other: median(others), ratio: median(ratios), target: least && { least }, spread: spread(rates) })
  }
  const target = (least) => (options.long ? least : undefined) // the short form only shows the way
  const millions = (count) => (count >= 1e6 ? `${count / 1e6} million` : String(count))

  await compare('1,000 idle connections', 0.75, { idle: 1000 })

  const holder = new pg.Client({ database: strained.database })
  await holder.connect()
  await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await holder.query('SELECT count(*) FROM work')
  if (options.long) await sleep(180000)
  await compare(`a snapshot held elsewhere${options.long ? ' for minutes' : ''}`, target(0.75))
  await holder.end()

  const waiting = options.long ? 1e6 : 100000
  await query(strained.database, backlog(waiting))
  await compare(`a backlog of ${millions(waiting)}`, target(0.75))

  const old = options.long ? 1e7 : 200000
  await query(strained.database, recorded(old))
  // What came over months was vacuumed over months; after one load it would be in the middle of the measurement.
  await query(strained.database, 'VACUUM (ANALYZE)')
  await compare(`${millions(old)} events recorded`, target(0.9))

  for (const server of [plain, strained]) {
    await server.stop()
    await dropDatabase(server.database)
  }
}
