// (e) Deliveries a second to a provider on this machine that answers at once.

import { Answerd, checkpoint, dropDatabase, freePort, load } from '../system.mjs'
import { median, spread } from '../report.mjs'

export async function deliver(report, options) {
  const deliveries = options.quick ? 5000 : 20000
  const provider = await freePort()
  const rates = []
  for (let i = 0; i < options.rounds; i++) {
    // First the messages come about, then they leave.
    const server = await Answerd.prepare('bench_deliver', { provider })
    await server.start('ingest,engine')
    await load({ port: server.port, connections: options.connections, requests: deliveries })
    await server.drained()
    await server.stop()
    const queued = await server.value('SELECT count(*) FROM outbox')
    if (queued !== deliveries) throw new Error(`${deliveries} messages were to be queued, ${queued} are`)
    await checkpoint()
    const [taken] = await Promise.all([load({ connections: 0, provider, deliveries, patience: 120 }), server.start('deliver')])
    if (taken.delivered !== deliveries) throw new Error(`${deliveries} messages were to be sent, ${taken.delivered} were`)
    rates.push(taken.deliveries_per_second)
    await server.stop()
    await dropDatabase(server.database)
  }
  report.add({ part: '(e)', what: 'deliveries/s to a loopback provider', unit: '/s', value: median(rates), spread: spread(rates) })
}
