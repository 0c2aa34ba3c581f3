// Runs the rows that are asked for and prints the table. Called by scripts/bench, which has made the programs and PostgreSQL.

import { writeFileSync } from 'node:fs'
import { conditions, printConditions } from './conditions.mjs'
import { Report } from './report.mjs'
import { countStatements, processorsDuring, sleep, stopAll } from './system.mjs'
import { ingest } from './rows/ingest.mjs'
import { engine } from './rows/engine.mjs'
import { latency } from './rows/latency.mjs'
import { deliver } from './rows/deliver.mjs'
import { rules } from './rows/rules.mjs'
import { cost } from './rows/cost.mjs'
import { forgeries } from './rows/forgeries.mjs'
import { strain } from './rows/strain.mjs'

const rows = { ingest, engine, latency, rules, deliver, forgeries, strain, cost }

function fail(message, hint) {
  console.error(`error: ${message}\nHINT: ${hint}`)
  process.exit(2)
}

function readOptions(args) {
  const options = { rows: [], quick: false, long: false, json: undefined }
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--quick') options.quick = true
    else if (args[i] === '--long') options.long = true
    else if (args[i] === '--json' && args[i + 1]) options.json = args[++i]
    else if (rows[args[i]]) options.rows.push(args[i])
    else fail(`unknown argument '${args[i]}'`, `the rows are: ${Object.keys(rows).join(' ')}; the flags are --quick, --long and --json FILE`)
  }
  if (options.rows.length === 0) options.rows = Object.keys(rows)
  return { ...options, connections: 256, ...(options.quick ? { rounds: 2, seconds: 2, warmup: 0.5 } : { rounds: 5, seconds: 5, warmup: 1 }) }
}

const options = readOptions(process.argv.slice(2))
process.on('SIGTERM', () => stopAll().then(() => process.exit(143)))
process.on('SIGINT', () => stopAll().then(() => process.exit(130)))
const report = new Report()
const began = Date.now()
await countStatements(false)
const measuredUnder = await conditions(options)
printConditions(measuredUnder)
try {
  for (const name of options.rows) {
    process.stderr.write(`${name} …\n`)
    const { busy: others } = await processorsDuring(() => sleep(1000))
    const { stolen: host } = await processorsDuring(() => rows[name](report, options))
    report.taken[name] = { host, others }
  }
} catch (error) {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
} finally {
  report.print()
  if (options.json) writeFileSync(options.json, JSON.stringify({ conditions: measuredUnder, rows: report.rows, taken: report.taken }, null, 2) + '\n')
  console.log(`(${Math.round((Date.now() - began) / 1000)} s)`)
  await stopAll()
}
