// (c) From the POST of a customer's first message to the request with the acknowledgement at the provider.

import { Answerd, dropDatabase, freePort, load } from '../system.mjs'
import { median, spread } from '../report.mjs'

export async function latency(report, options) {
  const provider = await freePort()
  const server = await Answerd.prepare('bench_latency', { provider })
  await server.start()
  const connections = options.connections

  // What the path can do when every message is answered: as many as were answered until the last one had left.
  const flood = options.quick ? 4000 : 10000
  const whole = await load({ port: server.port, connections, requests: flood, provider, deliveries: flood, patience: 120 })
  if (whole.delivered !== flood) throw new Error(`${flood} acknowledgements were expected, ${whole.delivered} came`)
  await server.drained()
  const capacity = whole.deliveries_per_second

  for (const [rate, target] of [[200, { most: 25 }], [Math.round(capacity / 2 / 100) * 100, undefined]]) {
    const results = []
    for (let i = 0; i < options.rounds; i++) {
      const result = await load({ port: server.port, connections, rate, seconds: options.seconds, warmup: options.warmup, provider, deliveries: 1e9, patience: 1.5 })
      if (result.delivered !== result.sent) throw new Error(`${result.sent} acknowledgements were expected at ${rate}/s, ${result.delivered} came`)
      results.push(result.delivery_latency)
    }
    const what = (name) => `${name} from POST to the provider at ${rate}/s${target ? '' : ', half of capacity'}`
    const p50 = results.map((r) => r.p50_us / 1000)
    const p99 = results.map((r) => r.p99_us / 1000)
    report.add({ part: '(c)', what: what('p50'), unit: 'ms', value: median(p50), spread: spread(p50) })
    report.add({ part: '(c)', what: what('p99'), unit: 'ms', value: median(p99), target, spread: spread(p99) })
  }
  report.add({ part: '(c)', what: 'messages answered/s at most (capacity)', unit: '/s', value: capacity })
  await server.stop()
  await dropDatabase(server.database)
}
