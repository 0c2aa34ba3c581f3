// (b) Events a second through the whole path: from the POST to the committed effects of the shipped rules.

import { Answerd, checkpoint, dropDatabase, freePort, load } from '../system.mjs'
import { median, spread } from '../report.mjs'

export async function engine(report, options) {
  const requests = options.quick ? 10000 : 40000
  const provider = await freePort()
  const results = []
  for (let i = 0; i < options.rounds; i++) {
    const server = await Answerd.prepare('bench_engine', { provider })
    await server.start()
    await checkpoint()
    // Each customer writes ten times: one in ten messages opens a conversation and is acknowledged.
    const posted = await load({ port: server.port, connections: options.connections, requests, contacts: requests / 10, provider, deliveries: requests / 10, patience: 120 })
    await server.drained()
    const [{ events, handled, seconds }] = await server.sql(
      `SELECT (SELECT count(*) FROM event WHERE webhook_id IS NOT NULL) AS events, (SELECT count(*) FROM handling) AS handled,
              extract(epoch FROM (SELECT max(handled_at) FROM handling) - (SELECT min(received_at) FROM webhook))::float AS seconds`)
    if (events !== requests) throw new Error(`${requests} webhooks were posted, ${events} events are recorded`)
    if (posted.delivered < requests / 10) throw new Error(`${requests / 10} acknowledgements were expected, ${posted.delivered} came`)
    results.push({ rate: events / seconds, all: handled / seconds, posted: posted.per_second })
    await server.stop()
    await dropDatabase(server.database)
  }
  const rates = results.map((r) => r.rate)
  report.add({ part: '(b)', what: 'webhook events/s, POST to committed effects', unit: '/s', value: median(rates), target: { least: 8000 }, spread: spread(rates) })
  report.add({ part: '(b)', what: 'the same with the events that these cause', unit: '/s', value: median(results.map((r) => r.all)), spread: spread(results.map((r) => r.all)) })
}
