// Under what conditions the table was measured.

import { readFileSync } from 'node:fs'
import { availableParallelism, release, totalmem } from 'node:os'
import { answerd, query, run } from './system.mjs'

const settingNames = ['synchronous_commit', 'fsync', 'full_page_writes', 'wal_sync_method', 'shared_buffers', 'max_wal_size',
  'checkpoint_timeout', 'wal_level', 'max_connections', 'shared_preload_libraries', 'autovacuum', 'jit']

export async function conditions(options) {
  const cpu = readFileSync('/proc/cpuinfo', 'utf8').match(/^model name\s*: (.*)$/m)?.[1] ?? 'unknown'
  const [{ version }] = await query('postgres', 'SELECT version()')
  const settings = {}
  for (const name of settingNames) settings[name] = Object.values((await query('postgres', `SHOW ${name}`))[0])[0]
  return {
    machine: `${availableParallelism()} cores (${cpu}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    shared: 'the load generator, PostgreSQL and the server under test share these cores',
    threads: `(a): ${availableParallelism()} threads, workers or connections on each side; all other rows: answerd's defaults`,
    postgresql: version.split(' on ')[0],
    settings,
    node: process.version,
    answerd: (await run(answerd, ['version'])).split('\n')[0],
    rounds: `${options.rounds} alternating rounds, ${options.seconds} s each after ${options.warmup} s of warming up, medians`,
    connections: options.connections,
  }
}

export function printConditions(c) {
  console.log(`machine      ${c.machine}; ${c.shared}`)
  console.log(`threads      ${c.threads}`)
  console.log(`PostgreSQL   ${c.postgresql}: ${Object.entries(c.settings).map(([name, value]) => `${name}=${value}`).join(' ')}`)
  console.log(`programs     ${c.answerd}, Node.js ${c.node}`)
  console.log(`load         ${c.connections} connections that are kept alive, one request on its way on each; ${c.rounds}`)
  console.log('payload      a WhatsApp text message as Meta sends it (589 bytes), each distinct, signed before the round begins')
}
