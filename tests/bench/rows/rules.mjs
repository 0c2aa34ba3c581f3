// (d) Rule calls a second of one core, and events a second through a backtest: recorded events, run through the rules in force and the candidate's.

import { Answerd, answerd, benchProgram, dropDatabase, project, run } from '../system.mjs'
import { median, spread } from '../report.mjs'

export async function rules(report, options) {
  const calls = []
  for (let i = 0; i < options.rounds; i++) calls.push(Number((await run(benchProgram('rule_calls'), ['0.5'])).split('\t')[0]))
  report.add({ part: '(d)', what: 'simple rule calls, one core', unit: '/s', value: median(calls), target: { least: 1e6 }, spread: spread(calls) })

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
