// Databases, programs and what the kernel and PostgreSQL say about them. Everything listens on 127.0.0.1.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync, openSync, closeSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { freePort } from '../e2e/support/ports.mjs'

pg.types.setTypeParser(20, Number) // counts are far below 2^53

export const project = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
export const answerd = process.env.ANSWERD
const programs = process.env.BENCH_PROGRAMS
const folder = process.env.BENCH_FOLDER
mkdirSync(folder, { recursive: true })

export const secrets = {
  WHATSAPP_PHONE_NUMBER_ID: '106540352242922',
  WHATSAPP_APP_SECRET: '5ad8ff9a1c0c4e1f8a35e1d2f0a7c3b9',
  WHATSAPP_VERIFY_TOKEN: 'a-verify-token',
  WHATSAPP_ACCESS_TOKEN: 'an-access-token',
  TELEGRAM_BOT_TOKEN: '4242:a-bot-token',
  TELEGRAM_SECRET_TOKEN: 'a-secret-token',
  STRIPE_SIGNING_SECRET: 'whsec_a_stripe_signing_secret',
  SUPPORT_SIGNING_SECRET: 'whsec_' + Buffer.from('a support tool signing secret').toString('base64'),
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

export async function until(what, condition, patience = 60000) {
  for (const end = Date.now() + patience; ; await sleep(20)) {
    const value = await condition().catch(() => undefined)
    if (value) return value
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
  }
}

export { freePort }

// --- programs ---------------------------------------------------------------------------------------------------------

const running = new Set()

export async function stopAll() {
  await Promise.all([...running].map(stop))
}

// Starts a program that stays; its output goes to .data/bench/NAME.log.
export function start(name, command, args, env = {}) {
  const log = openSync(join(folder, `${name}.log`), 'a')
  const child = spawn(command, args, { cwd: project, env: { ...process.env, ...secrets, ...env }, stdio: ['pipe', log, log] })
  closeSync(log)
  running.add(child)
  child.on('exit', () => running.delete(child))
  return child
}

export async function stop(child) {
  if (!running.has(child)) return
  const exited = once(child, 'exit')
  child.stdin.end()
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 20000)
  await exited
  clearTimeout(late)
}

// Runs a program to its end and returns what it printed.
export async function run(command, args, env = {}) {
  const child = spawn(command, args, { cwd: project, env: { ...process.env, ...secrets, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let out = ''
  let problems = ''
  child.stdout.on('data', (data) => (out += data))
  child.stderr.on('data', (data) => (problems += data))
  const [code] = await once(child, 'close')
  running.delete(child)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${problems}${out}`)
  return out
}

export const benchProgram = (name) => join(programs, `bench_${name}`)

let nextWebhook = 1
let nextContact = 1

// Webhooks are distinct over the whole run. See load/main.c for the options; { port: 1 } is --port 1. Without `contacts`
// each webhook comes from a customer of its own, whom no earlier load has used.
export async function load(options) {
  const most = options.requests ?? Math.ceil(((options.seconds ?? 5) + (options.warmup ?? 0)) * (options.rate ?? 80000)) + 1
  const all = { secret: secrets.WHATSAPP_APP_SECRET, first: nextWebhook, 'first-contact': nextContact % 90000000, ...options }
  nextWebhook += most
  nextContact += options.contacts ?? most
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)])
  const result = JSON.parse(await run(benchProgram('load'), args))
  if (result.unexpected > 0) throw new Error(`${result.unexpected} webhooks were answered ${result.last_unexpected}, not ${all.expect ?? 200}`)
  if (result.lost > 0) throw new Error(`${result.lost} connections broke`)
  return result
}

export const reserveWebhooks = (count) => (nextWebhook += count) - count

// --- databases --------------------------------------------------------------------------------------------------------

export async function query(database, text, values) {
  const client = new pg.Client({ database })
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

export const value = async (database, text) => Object.values((await query(database, text))[0])[0]

export async function createDatabase(name) {
  await query('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  await query('postgres', `CREATE DATABASE ${name}`)
}

export async function dropDatabase(name) {
  await query('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
}

// Counting statements costs a little time itself, so it is on in one row only.
export async function countStatements(on) {
  await query('postgres', `ALTER SYSTEM SET pg_stat_statements.track = ${on ? 'top' : 'none'}`)
  await query('postgres', 'SELECT pg_reload_conf()')
}

// Every turn begins with nothing to write back from the one before.
export const checkpoint = () => query('postgres', 'CHECKPOINT')

// --- answerd ----------------------------------------------------------------------------------------------------------

export class Answerd {
  // options: database, roles (all), provider (port), settings (Lua appended to the configuration)
  static async prepare(name, options = {}) {
    const self = new Answerd()
    self.name = name
    self.database = options.database ?? name
    self.port = await freePort()
    self.admin = await freePort()
    self.config = join(folder, `${name}.lua`)
    writeFileSync(
      self.config,
      `http { listen = "127.0.0.1:${self.port}", admin = "127.0.0.1:${self.admin}" }
database { url = "dbname=${self.database}" }
rules { directory = "${join(project, 'rules')}" }
source "whatsapp" {
  kind = "whatsapp", phone_number_id = env "WHATSAPP_PHONE_NUMBER_ID", app_secret = env "WHATSAPP_APP_SECRET",
  verify_token = env "WHATSAPP_VERIFY_TOKEN", access_token = env "WHATSAPP_ACCESS_TOKEN",
  api_url = "http://127.0.0.1:${options.provider ?? 9}", per_second = 1000000,
}
${options.settings ?? ''}
`,
    )
    await createDatabase(self.database)
    await run(answerd, ['migrate', '--config', self.config])
    return self
  }

  async start(roles = 'ingest,engine,deliver') {
    this.child = start(this.name, answerd, ['serve', '--config', this.config, '--roles', roles])
    await until(`${this.name} to be ready (see .data/bench/${this.name}.log)`, async () => (await fetch(`http://127.0.0.1:${this.admin}/readyz`)).ok)
  }

  stop() {
    return stop(this.child)
  }

  sql(text) {
    return query(this.database, text)
  }

  value(text) {
    return value(this.database, text)
  }

  // One number of /metrics: the sum over all labels.
  async metric(name) {
    const text = await (await fetch(`http://127.0.0.1:${this.admin}/metrics`)).text()
    return text
      .split('\n')
      .filter((line) => line.startsWith(name + ' ') || line.startsWith(name + '{'))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  }

  // The database is asked only when the engine has stood still for a moment: what is done lies before the rest as dead rows, and
  // to look over them time and again costs a tenth of what is measured.
  async drained(patience = 600000) {
    let before
    await until(
      'the work to be done',
      async () => {
        const handled = await this.metric('answerd_events_handled_total')
        const stands = handled === before
        before = handled
        if (stands && !(await this.value('SELECT EXISTS (SELECT FROM work)'))) return true
        await sleep(200)
      },
      patience,
    )
  }

  memory() {
    return memoryOf(this.child.pid)
  }
}

// --- the kernel -------------------------------------------------------------------------------------------------------

const ticksPerSecond = 100 // USER_HZ, fixed in Linux's interface

function statOf(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { parent: Number(fields[1]), own: Number(fields[11]) + Number(fields[12]), children: Number(fields[13]) + Number(fields[14]) }
}

// CPU seconds of a process.
export const cpuOf = (pid) => statOf(pid).own / ticksPerSecond

export async function postmasterPid() {
  const client = new pg.Client({ database: 'postgres' })
  await client.connect()
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  const { parent } = statOf(rows[0].pid)
  await client.end()
  return parent
}

// CPU seconds of a process, those it has started, and those of them that have ended.
export function cpuOfTree(parent) {
  const own = statOf(parent)
  let ticks = own.own + own.children
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = statOf(name)
      if (stat.parent === parent) ticks += stat.own
    } catch {
      // it has ended meanwhile
    }
  }
  return ticks / ticksPerSecond
}

// What all processors have done since the machine started. `stolen` is what the host gave to others meanwhile.
function processorTime() {
  const [user, nice, system, idle, iowait, irq, softirq, stolen] = readFileSync('/proc/stat', 'utf8').match(/^cpu .*$/m)[0].split(/\s+/).slice(1).map(Number)
  return { busy: user + nice + system + irq + softirq, stolen, all: user + nice + system + idle + iowait + irq + softirq + stolen }
}

// Runs something and returns the shares of the processors' time that were busy, and that the host took, meanwhile.
export async function processorsDuring(something) {
  const before = processorTime()
  await something()
  const after = processorTime()
  const share = (name) => (after[name] - before[name]) / Math.max(1, after.all - before.all)
  return { busy: share('busy'), stolen: share('stolen') }
}

// Resident memory in MiB: now, and the most there was.
export function memoryOf(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const of = (name) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'))[1]) / 1024
  return { now: of('VmRSS'), most: of('VmHWM') }
}
