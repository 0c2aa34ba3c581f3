// One answerd with its own database and simulated providers, for one test file.
//
// The program is $ANSWERD (default build/dev/answerd), PostgreSQL is the cluster that PGHOST names (scripts/test starts
// one). Everything listens on 127.0.0.1 on ports of its own. Nothing here sleeps: conditions are awaited.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync, cpSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { freePort } from './ports.mjs'

export const project = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
export const program = process.env.ANSWERD ?? join(project, 'build/dev/answerd')

export const secrets = {
  WHATSAPP_PHONE_NUMBER_ID: '106540352242922',
  WHATSAPP_APP_SECRET: 'a-whatsapp-app-secret',
  WHATSAPP_VERIFY_TOKEN: 'a-verify-token',
  WHATSAPP_ACCESS_TOKEN: 'an-access-token',
  TELEGRAM_BOT_TOKEN: '4242:a-bot-token',
  TELEGRAM_SECRET_TOKEN: 'a-secret-token',
  STRIPE_SIGNING_SECRET: 'whsec_a_stripe_signing_secret',
  SUPPORT_SIGNING_SECRET: 'whsec_' + Buffer.from('a support tool signing secret').toString('base64'),
}

export { freePort }

// Resolves with the first truthy value of `condition`, or throws after `patience` ms naming what was awaited. That time is
// no claim, it is for machines that are slow or stand still now and then: what has to be soon is asserted by itself.
export async function until(what, condition, patience = 120000) {
  const end = Date.now() + patience * Number(process.env.ANSWERD_PATIENCE ?? 1)
  let last
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`waited for ${what}`, { cause: last })
    await new Promise((done) => setTimeout(done, 20))
  }
}

// Runs the program (or another build of it) to its end: { code, stdout, stderr }.
export async function run(args, { input, env, cwd, program: build = program } = {}) {
  const child = spawn(build, args, { cwd: cwd ?? project, env: { ...process.env, ...secrets, ...env } })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data) => (stdout += data))
  child.stderr.on('data', (data) => (stderr += data))
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const [code, signal] = await once(child, 'close')
  return { code: code ?? signal, stdout, stderr }
}

export class System {
  // options: rules (folder; default the shipped rules), files (more rule files: { name: text }), config (Lua appended to
  // the configuration), ruleSettings, httpSettings, ingestSettings, deliverSettings (Lua inside its rules { … }, http { … },
  // ingest { … }, deliver { … }), supportSettings (inside the source "support"), allowPrivateAddresses (of outgoing webhooks), threads,
  // whatsappUrl (of its API; otherwise the simulated one)
  static async start(options = {}) {
    const system = new System()
    try {
      await system.#start(options)
    } catch (error) {
      // What runs already would keep the tests from ending.
      await system.stop().catch(() => {})
      throw error
    }
    return system
  }

  async #start(options) {
    this.options = options
    this.name = 'answerd_e2e_' + process.pid + '_' + Math.random().toString(36).slice(2, 8)
    this.nodes = []
    await this.#createDatabase()
    this.folder = mkdtempSync(join(tmpdir(), 'answerd test '))
    this.rules = join(this.folder, 'rules')
    if (options.rules === null) mkdirSync(this.rules)
    else cpSync(options.rules ?? join(project, 'rules'), this.rules, { recursive: true })
    for (const [name, text] of Object.entries(options.files ?? {})) this.writeRule(name, text)
    this.simulatePort = await freePort()
    this.port = await freePort()
    this.adminPort = await freePort()
    this.url = `http://127.0.0.1:${this.port}`
    this.admin = `http://127.0.0.1:${this.adminPort}`
    this.simulateUrl = `http://127.0.0.1:${this.simulatePort}`
    this.config = join(this.folder, 'answerd.lua')
    writeFileSync(this.config, this.configuration())
    const migrated = await run(['migrate', '--config', this.config], { env: this.environment() })
    if (migrated.code !== 0) throw new Error(`migrate failed: ${migrated.stderr}`)
    this.simulate = this.#spawn('simulate', [
      'simulate', '--config', this.config, '--listen', `127.0.0.1:${this.simulatePort}`, '--target', this.url,
    ])
    await until('the simulator', async () => (await fetch(`${this.simulateUrl}/control/sent`)).ok)
    if (options.serve !== false) await this.serve()
  }

  configuration() {
    const threads = this.options.threads ?? process.env.ANSWERD_THREADS
    return `
http { listen = env "ANSWERD_LISTEN", admin = env "ANSWERD_ADMIN_LISTEN"${this.options.httpSettings ? ', ' + this.options.httpSettings : ''} }
database { url = "" }
rules { directory = env "ANSWERD_RULES"${this.options.ruleSettings ? ', ' + this.options.ruleSettings : ''} }
ingest { threads = ${threads ?? 1}${this.options.ingestSettings ? ', ' + this.options.ingestSettings : ''} }
engine { threads = ${threads ?? 2} }
deliver { allow_private_addresses = ${this.options.allowPrivateAddresses ?? true}${this.options.deliverSettings ? ', ' + this.options.deliverSettings : ''} }
source "whatsapp" { kind = "whatsapp", phone_number_id = env "WHATSAPP_PHONE_NUMBER_ID", app_secret = env "WHATSAPP_APP_SECRET",
  verify_token = env "WHATSAPP_VERIFY_TOKEN", access_token = env "WHATSAPP_ACCESS_TOKEN", api_url = "${this.options.whatsappUrl ?? this.simulateUrl}" }
source "telegram" { kind = "telegram", bot_token = env "TELEGRAM_BOT_TOKEN", secret_token = env "TELEGRAM_SECRET_TOKEN",
  api_url = "${this.simulateUrl}" }
source "stripe" { kind = "stripe", signing_secrets = { env "STRIPE_SIGNING_SECRET" } }
source "support" { kind = "standard_webhooks", signing_secrets = { env "SUPPORT_SIGNING_SECRET" }${this.options.supportSettings ? ', ' + this.options.supportSettings : ''} }
${this.options.config ?? ''}
`
  }

  environment(extra = {}) {
    return {
      PGDATABASE: this.name,
      ANSWERD_LISTEN: `127.0.0.1:${this.port}`,
      ANSWERD_ADMIN_LISTEN: `127.0.0.1:${this.adminPort}`,
      ANSWERD_RULES: this.rules,
      ANSWERD_SIMULATE_URL: this.simulateUrl,
      ...extra,
    }
  }

  writeRule(name, text) {
    mkdirSync(dirname(join(this.rules, name)), { recursive: true })
    writeFileSync(join(this.rules, name), text)
  }

  // Starts a node of answerd and waits until it says that it is ready. Further nodes get ports of their own.
  // `ready: false` does not wait; `environment` is put over the usual one.
  async serve({ port, adminPort, args = [], environment: over = {}, ready = true } = {}) {
    const environment = this.environment({ ...(port ? { ANSWERD_LISTEN: `127.0.0.1:${port}`, ANSWERD_ADMIN_LISTEN: `127.0.0.1:${adminPort}` } : {}), ...over })
    const admin = port ? `http://127.0.0.1:${adminPort}` : this.admin
    const node = this.#spawn('serve', ['serve', '--config', this.config, ...args], environment)
    node.admin = admin
    this.nodes.push(node)
    if (!ready) return node
    const ended = () => node.exitCode !== null || node.signalCode !== null
    await until('answerd to be ready', async () => ended() || (await fetch(`${admin}/readyz`)).ok, 60000)
    if (ended()) throw new Error(`answerd ended: ${node.log}`)
    return node
  }

  async stopNode(node, signal = 'SIGTERM') {
    this.nodes = this.nodes.filter((other) => other !== node)
    if (node.exitCode === null && node.signalCode === null) {
      node.kill(signal)
      await once(node, 'exit')
    }
    return node.exitCode ?? node.signalCode
  }

  #spawn(name, args, environment = this.environment()) {
    const child = spawn(program, args, { cwd: this.folder, env: { ...process.env, ...secrets, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
    child.log = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        child.log += data
        if (process.env.ANSWERD_SHOW_LOGS) process.stderr.write(`[${name}] ${data}`)
      })
    }
    return child
  }

  async #createDatabase() {
    const client = new pg.Client({ database: 'postgres' })
    await client.connect()
    await client.query(`CREATE DATABASE ${this.name}`)
    await client.end()
    this.db = new pg.Pool({ database: this.name, max: 4 })
    this.db.on('error', () => {}) // a test may stop PostgreSQL
  }

  async rows(sql, values) {
    return (await this.db.query(sql, values)).rows
  }

  async value(sql, values) {
    const [row] = await this.rows(sql, values)
    return row === undefined ? undefined : Object.values(row)[0]
  }

  untilSql(what, sql, values, patience) {
    return until(what, () => this.value(sql, values), patience)
  }

  // Everything that the simulated providers accepted, in order.
  async sent() {
    return (await fetch(`${this.simulateUrl}/control/sent`)).json()
  }

  async faults(fault) {
    const answer = await fetch(`${this.simulateUrl}/control/faults`, { method: 'POST', body: JSON.stringify(fault) })
    if (!answer.ok) throw new Error(`the simulator refused the fault: ${await answer.text()}`)
  }

  async post(source, { body, headers }, base = this.url) {
    const answer = await fetch(`${base}/webhooks/${source}`, { method: 'POST', body, headers })
    await answer.arrayBuffer()
    return answer
  }

  // Ends everything; throws when a sanitizer reported something or a node did not stop cleanly.
  async stop() {
    const problems = []
    for (const node of [...this.nodes]) {
      const code = await this.stopNode(node)
      if (code !== 0) problems.push(`answerd ended with ${code}: ${node.log.slice(-4000)}`)
      if (/runtime error|Sanitizer/.test(node.log)) problems.push(node.log.slice(-8000))
    }
    if (this.simulate) {
      this.simulate.kill('SIGTERM')
      if (this.simulate.exitCode === null && this.simulate.signalCode === null) await once(this.simulate, 'exit')
      if (/runtime error|Sanitizer/.test(this.simulate.log)) problems.push(this.simulate.log.slice(-8000))
    }
    await this.db?.end()
    const client = new pg.Client({ database: 'postgres' })
    await client.connect()
    await client.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`)
    await client.end()
    if (this.folder) rmSync(this.folder, { recursive: true, force: true })
    if (problems.length) throw new Error(problems.join('\n'))
  }
}
