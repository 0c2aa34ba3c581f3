// (f) What the sender of genuine webhooks notices of ten times as many forgeries.

import { Answerd, checkpoint, dropDatabase, load, until } from '../system.mjs'
import { median, spread } from '../report.mjs'

// Webhooks at a fixed rate, while as many more come whose signature is wrong, on connections of their own.
async function besideForgeries(server, webhooks, rate) {
  const refused = () => server.metric('answerd_webhooks_total{source="whatsapp",result="refused"}')
  const before = await refused()
  const seconds = webhooks.warmup + webhooks.seconds + 2
  let flooding = true
  const flood = () => load({ port: server.port, connections: webhooks.connections, secret: 'another secret', expect: 401, rate, seconds }).finally(() => (flooding = false))
  const genuine = async () => {
    await until('the first forgery', async () => (await refused()) > before)
    const result = await load({ port: server.port, ...webhooks })
    if (!flooding) throw new Error('the forgeries ended before the webhooks did')
    return result
  }
  const [{ answered }, result] = await Promise.all([flood(), genuine()])
  const counted = (await refused()) - before
  if (counted !== answered) throw new Error(`${answered} forgeries were answered 401, ${counted} are counted as refused`)
  return result
}

async function compare(report, options, server, rate) {
  const webhooks = { connections: options.connections, seconds: options.seconds, warmup: options.warmup, rate }
  const turns = {
    without: () => load({ port: server.port, ...webhooks }),
    beside: () => besideForgeries(server, webhooks, 10 * rate),
  }
  const results = []
  for (let i = 0; i < options.rounds; i++) {
    const round = {}
    for (const name of i % 2 ? ['beside', 'without'] : ['without', 'beside']) {
      await checkpoint()
      const before = await server.value('SELECT count(*) FROM webhook')
      round[name] = await turns[name]()
      const stored = (await server.value('SELECT count(*) FROM webhook')) - before
      if (stored !== round[name].answered) throw new Error(`${round[name].answered} webhooks were answered 200, ${stored} are stored`)
    }
    results.push(round)
  }
  for (const [percentile, target] of [['p50', undefined], ['p99', { most: 2 }]]) {
    const each = (name) => results.map((round) => round[name].latency[`${percentile}_us`] / 1000)
    const [beside, without] = [each('beside'), each('without')]
    report.add({
      part: '(f)', what: `${percentile} of ${rate} webhooks/s beside ${10 * rate} forgeries/s`, unit: 'ms', value: median(beside), against: 'without',
      other: median(without), ratio: median(beside.map((ms, i) => ms / without[i])), target, spread: spread(beside),
    })
  }
}

export async function forgeries(report, options) {
  const server = await Answerd.prepare('bench_forgeries')
  await server.start('ingest')
  await load({ port: server.port, connections: 16, requests: 1000 })
  for (const rate of [200, 1000]) await compare(report, options, server, rate)
  await server.stop()
  await dropDatabase(server.database)
}
