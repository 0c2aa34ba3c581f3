// (g) What an event costs: processor time, statements of PostgreSQL and answerd's memory.

import { Answerd, countStatements, cpuOf, cpuOfTree, dropDatabase, freePort, load, postmasterPid, query } from '../system.mjs'
import { median, spread } from '../report.mjs'

export async function cost(report, options) {
  const requests = options.quick ? 4000 : 20000
  const provider = await freePort()
  const postmaster = await postmasterPid()
  await query('postgres', 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements')
  const results = []
  for (let i = 0; i < options.rounds; i++) {
    const server = await Answerd.prepare('bench_cost', { provider })
    await server.start()
    const idle = server.memory().now
    const before = { answerd: cpuOf(server.child.pid), postgres: cpuOfTree(postmaster) }
    await countStatements(true)
    await query('postgres', 'SELECT pg_stat_statements_reset()')
    const acknowledged = requests / 10
    await load({ port: server.port, connections: options.connections, requests, contacts: acknowledged, provider, deliveries: acknowledged, patience: 300 })
    await server.drained()
    const own = cpuOf(server.child.pid) - before.answerd
    const database = cpuOfTree(postmaster) - before.postgres
    const [{ calls }] = await query('postgres',
      `SELECT sum(calls)::float AS calls FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = '${server.database}'`)
    await countStatements(false)
    const loaded = server.memory().most
    await server.stop()

    // Webhooks come in while nobody handles them; then the engine finds a backlog.
    const backlog = options.quick ? 10000 : 50000
    await server.start('ingest')
    await load({ port: server.port, connections: options.connections, requests: backlog, contacts: acknowledged })
    await server.stop()
    const waiting = await server.value('SELECT count(*) FROM work')
    if (waiting < backlog) throw new Error(`${backlog} events were to wait, ${waiting} do`)
    await server.start('engine')
    const from = Date.now()
    while (Date.now() - from < options.seconds * 1000) await new Promise((done) => setTimeout(done, 100))
    results.push({ own: (own / requests) * 1e6, database: (database / requests) * 1e6, calls: calls / requests, idle, loaded, backlog: server.memory().most, waiting })
    await server.stop()
    await dropDatabase(server.database)
  }
  const line = (what, unit, name, target) => {
    const values = results.map((r) => r[name])
    report.add({ part: '(g)', what, unit, value: median(values), target, spread: spread(values) })
  }
  line('CPU of answerd for each webhook, whole path', 'us', 'own')
  line('CPU of PostgreSQL for each webhook, whole path', 'us', 'database')
  line('statements of PostgreSQL for each webhook', '', 'calls')
  line('memory of answerd, idle', 'MiB', 'idle', { most: 64 })
  line('memory of answerd, loaded, at most', 'MiB', 'loaded', { most: 64 })
  line(`memory of answerd with ${results[0].waiting} events waiting, at most`, 'MiB', 'backlog', { most: 64 })
}
