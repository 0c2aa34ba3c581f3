// (d) Events a second through a backtest: recorded events, run through the rules in force and the candidate's.

import { Answerd, answerd, dropDatabase, project, run } from '../system.mjs'
import { median, spread } from '../report.mjs'

export async function rules(report, options) {
  const events = options.quick ? 20000 : 200000
  const server = await Answerd.prepare('bench_backtest')
  await run(`${project}/tests/bench/record_history`, [String(events)], { PGDATABASE: server.database })
  const rates = []
  for (let i = 0; i < options.rounds; i++) {
    const began = performance.now()
    await run(answerd, ['backtest', '--config', server.config, '--rules', 'rules', '--since', '8d', '--json'])
    rates.push(events / ((performance.now() - began) / 1000))
  }
  report.add({ part: '(d)', what: `backtest of ${events} recorded events`, unit: '/s', value: median(rates), target: { least: 100000 }, spread: spread(rates) })
  await dropDatabase(server.database)
}
