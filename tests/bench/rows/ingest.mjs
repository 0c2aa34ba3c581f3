// (a) Verified, deduplicated, durable webhooks a second, and how long the sender waits.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { Answerd, benchProgram, checkpoint, createDatabase, dropDatabase, freePort, load, project, query, reserveWebhooks, run, start, stop, until } from '../system.mjs'
import { median, spread } from '../report.mjs'

// All may use all cores: Fastify has a worker for each, answerd and the bare handler a thread, the ceiling a connection.
const threads = availableParallelism()

async function fastify(database, mode) {
  await createDatabase(database)
  await query(database, readFileSync(`${project}/tests/bench/fastify/schema.sql`, 'utf8'))
  const port = await freePort()
  const child = start(database, 'node', ['tests/bench/fastify/server.mjs', String(port), ...mode], { PGDATABASE: database })
  await until(`${database} to listen`, async () => (await fetch(`http://127.0.0.1:${port}/`)).status === 404)
  return { child, port, database }
}

export async function ingest(report, options) {
  const { rounds, seconds, warmup, connections } = options
  const server = await Answerd.prepare('bench_ingest', { settings: `ingest { threads = ${threads} }` })
  await server.start('ingest')
  const single = await fastify('bench_fastify', [])
  const batched = await fastify('bench_fastify_batched', ['batched'])
  const bare = { port: await freePort() }
  bare.child = start('bench_bare_http', benchProgram('bare_http'), [String(bare.port), String(threads)])
  const full = (port) => load({ port, connections, seconds, warmup })

  const turns = {
    answerd: async () => {
      const before = [await server.metric('answerd_ingest_stored_total'), await server.metric('answerd_ingest_commits_total')]
      const result = await full(server.port)
      const after = [await server.metric('answerd_ingest_stored_total'), await server.metric('answerd_ingest_commits_total')]
      return { ...result, batch: (after[0] - before[0]) / (after[1] - before[1]) }
    },
    fastify: () => full(single.port),
    batched: () => full(batched.port),
    bare: () => full(bare.port),
    ceiling: async (round) => {
      const most = Math.ceil(seconds * 200000)
      const args = [Math.round(round.answerd.batch), threads, seconds, reserveWebhooks(most)].map(String)
      return JSON.parse(await run(benchProgram('ceiling'), args, { PGDATABASE: server.database }))
    },
  }
  const results = await alternate(turns, rounds, options)
  await checkStored(server, single, results)

  const each = (name, of) => results.map((round) => of(round[name]))
  const rate = (r) => r.per_second
  const p50 = (r) => r.latency.p50_us / 1000
  const p99 = (r) => r.latency.p99_us / 1000
  const ratio = (of, a, b) => median(results.map((round) => of(round[a]) / of(round[b])))
  const line = (what, unit, of, name, against, target) =>
    report.add({
      part: '(a)', what, unit, value: median(each('answerd', of)), against, other: median(each(name, of)),
      ratio: unit === 'ms' ? ratio(of, name, 'answerd') : ratio(of, 'answerd', name), target, spread: spread(each('answerd', of)),
    })
  line('durable webhooks/s', '/s', rate, 'fastify', 'Fastify + pg', { least: 5 })
  line('durable webhooks/s', '/s', rate, 'batched', 'Fastify + pg, batching', undefined)
  line('durable webhooks/s', '/s', rate, 'bare', 'bare evhttp, no database', { least: 0.5 })
  line(`durable webhooks/s (batches of ${Math.round(median(each('answerd', (r) => r.batch)))})`, '/s', rate, 'ceiling', 'PostgreSQL alone', { least: 0.6 })
  line('p50 at full load, times lower', 'ms', p50, 'fastify', 'Fastify + pg', undefined)
  line('p99 at full load, times lower', 'ms', p99, 'fastify', 'Fastify + pg', { least: 10 })

  // Both at the same rates: one that the slower one holds with ease, and one near to all it can.
  const paced = (port, rate) => load({ port, connections, seconds, warmup, rate })
  for (const share of [0.6, 0.9]) {
    const fixed = Math.round((median(each('fastify', rate)) * share) / 100) * 100
    const pacedResults = await alternate({ answerd: () => paced(server.port, fixed), fastify: () => paced(single.port, fixed) }, rounds, options)
    for (const [name, of] of [['p50', p50], ['p99', p99]]) {
      report.add({
        part: '(a)', what: `${name} at ${fixed}/s (${share * 100} % of Fastify's), times lower`, unit: 'ms', value: median(pacedResults.map((r) => of(r.answerd))),
        against: 'Fastify + pg', other: median(pacedResults.map((r) => of(r.fastify))),
        ratio: median(pacedResults.map((r) => of(r.fastify) / of(r.answerd))), target: undefined,
        spread: spread(pacedResults.map((r) => of(r.answerd))),
      })
    }
  }
  for (const { child, database } of [server, single, batched, bare]) {
    await stop(child)
    if (database) await dropDatabase(database)
  }
}

// Each round has a turn of each, one after the other.
async function alternate(turns, rounds, options) {
  const results = []
  for (let i = 0; i < rounds; i++) {
    const round = {}
    for (const [name, turn] of Object.entries(turns)) {
      await checkpoint()
      round[name] = await turn(round)
      if (process.env.BENCH_VERBOSE) process.stderr.write(`  ${name} ${JSON.stringify(round[name])}\n`)
    }
    results.push(round)
  }
  return results
}

// A fast answer that stored nothing would be no result.
async function checkStored(server, single, results) {
  const sum = (name) => results.reduce((total, round) => total + round[name].answered, 0)
  const rows = results.reduce((total, round) => total + round.ceiling.rows, 0)
  for (const table of ['webhook', 'event', 'work']) {
    const stored = (await server.value(`SELECT count(*) FROM ${table}`)) - rows
    if (stored !== sum('answerd')) throw new Error(`answerd answered ${sum('answerd')} and stored ${stored} in ${table}`)
    const [{ count }] = await query(single.database, `SELECT count(*) FROM ${table}`)
    if (count !== sum('fastify')) throw new Error(`Fastify answered ${sum('fastify')} and stored ${count} in ${table}`)
  }
}
