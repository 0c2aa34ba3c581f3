// Several nodes of answerd on one database, each with a wire of its own to PostgreSQL, and the way in for webhooks.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Link } from '../e2e/support/link.mjs'
import { freePort, program, project, run, secrets, until } from '../e2e/support/system.mjs'
import { account, page, shopSecret } from './traffic.mjs'

// How long a node waits for a provider's answer, ms.
export const sendTimeout = 1500

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

export class Fleet {
  // options: cluster, database, count, provider (its url), program, settle (as in deliver { settle }), threads (of each
  // kind), sendTimeout (ms; of a call to a provider), commitDeadline (of ingest), url (of the database; otherwise each node has a link to the cluster),
  // files (more rule files: { name: text }), sabotage (the name of a file in sabotage/), template (a database that was
  // prepared before: it is copied, and the API cannot be called), witness (whether each step of the outbox is written
  // down: witness.sql)
  constructor(options) {
    this.options = options
    this.nodes = []
    this.acknowledged = 0 // posts of webhooks that were answered 200
    this.attempted = 0
    this.unexpected = []
    this.folder = mkdtempSync(join(tmpdir(), 'answerd chaos '))
    this.config = join(this.folder, 'answerd.lua')
  }

  get database() {
    return this.options.database
  }

  async prepare() {
    const { cluster } = this.options
    cpSync(join(project, 'rules'), join(this.folder, 'rules'), { recursive: true, filter: (name) => !name.endsWith('_test.lua') })
    cpSync(join(project, 'tests/chaos/rules'), join(this.folder, 'rules'), { recursive: true })
    for (const [name, text] of Object.entries(this.options.files ?? {})) writeFileSync(join(this.folder, 'rules', name), text)
    writeFileSync(this.config, this.#configuration())
    if (this.options.template) return void (await cluster.run(`CREATE DATABASE ${this.database} TEMPLATE ${this.options.template}`))
    await cluster.run(`CREATE DATABASE ${this.database}`)
    const environment = { ...this.#environment({ port: 1, adminPort: 2 }), PGHOST: cluster.socket, PGPORT: '5432' }
    const migrated = await run(['migrate', '--config', this.config], { env: environment })
    if (migrated.code !== 0) throw new Error(`migrate failed: ${migrated.stderr}`)
    if (this.options.witness) await cluster.run(readFileSync(join(project, 'tests/chaos/witness.sql'), 'utf8'), this.database)
    if (this.options.sabotage) await this.#sabotage()
    const made = await run(['token', 'create', '--name', 'chaos', '--scopes', 'read,write,admin', '--config', this.config], { env: environment })
    this.token = /ans_[A-Za-z0-9_-]+/.exec(made.stdout)[0]
  }

  // Breaks a promise in the database, to see whether anybody notices.
  async #sabotage() {
    const helper = `CREATE FUNCTION sabotage(name regproc, good text, bad text) RETURNS void LANGUAGE plpgsql AS $$
      DECLARE definition constant text := pg_get_functiondef(name);
      BEGIN
        IF position(good IN definition) = 0 THEN RAISE EXCEPTION '% has no longer: %', name, good; END IF;
        EXECUTE replace(definition, good, bad);
      END $$`
    const file = readFileSync(join(project, 'tests/chaos/sabotage', this.options.sabotage + '.sql'), 'utf8')
    await this.options.cluster.run(`${helper};\n${file}`, this.database)
  }

  #configuration() {
    const url = this.options.provider
    const threads = this.options.threads ?? 2
    return `
http { listen = env "ANSWERD_LISTEN", admin = env "ANSWERD_ADMIN_LISTEN" }
database { url = env("CHAOS_DATABASE_URL", "") }
rules { directory = "${join(this.folder, 'rules')}", quarantine_after = 1000 }
ingest { threads = ${threads}, commit_deadline = "${this.options.commitDeadline ?? '3s'}" }
engine { threads = ${threads}, poll = "100ms" }
deliver { allow_private_addresses = true, timeout = "${this.options.sendTimeout ?? sendTimeout}ms", settle = "${this.options.settle ?? '2s'}", poll = "100ms" }
source "whatsapp" { kind = "whatsapp", phone_number_id = env "WHATSAPP_PHONE_NUMBER_ID", app_secret = env "WHATSAPP_APP_SECRET",
  verify_token = "v", access_token = "t", api_url = "${url}" }
source "telegram" { kind = "telegram", bot_token = env "TELEGRAM_BOT_TOKEN", secret_token = env "TELEGRAM_SECRET_TOKEN", api_url = "${url}" }
source "messenger" { kind = "messenger", app_secret = env "WHATSAPP_APP_SECRET", verify_token = "v", access_token = "t", page_id = "${page}", api_url = "${url}" }
source "instagram" { kind = "instagram", app_secret = env "WHATSAPP_APP_SECRET", verify_token = "v", access_token = "t", account_id = "${account}", api_url = "${url}" }
source "stripe" { kind = "stripe", signing_secrets = { env "STRIPE_SIGNING_SECRET" } }
source "shop" { kind = "hmac", signing_secrets = { "${shopSecret}" }, id = "tag" }
`
  }

  #environment(node) {
    return {
      PGHOST: '127.0.0.1', PGPORT: String(node.link?.port ?? 5432), PGUSER: 'answerd', PGDATABASE: this.database, CHAOS_DATABASE_URL: node.link ? '' : this.options.url ?? '',
      ANSWERD_LISTEN: `127.0.0.1:${node.port}`, ANSWERD_ADMIN_LISTEN: `127.0.0.1:${node.adminPort}`,
      CHAOS_TOOL_URL: `${this.options.provider}/hook/tool`, TEAM_CHAT_URL: `${this.options.provider}/hook/team`,
      TEAM_CHAT_SECRET: 'whsec_' + Buffer.from('a team chat signing secret').toString('base64'),
    }
  }

  async start() {
    for (let number = 0; number < this.options.count; number++) await this.add()
    await this.ready()
  }

  // One node more; with `program` of its own it is another version.
  async add(program) {
    const node = { number: this.nodes.length, log: '', program, port: await freePort(), adminPort: await freePort(), paused: false }
    if (!this.options.url) node.link = await new Link(() => join(this.options.cluster.socket, '.s.PGSQL.5432'), (message) => this.onMessage?.(node, message)).listen()
    this.nodes.push(node)
    this.spawn(node)
    return node
  }

  // Without its death counting as a surprise.
  async end(node, signal = 'SIGTERM') {
    node.stopping = true
    this.nodes = this.nodes.filter((other) => other !== node)
    if (this.isAlive(node)) {
      node.process.kill(signal)
      await once(node.process, 'exit')
    }
    await node.link?.close()
    return node.process.exitCode ?? node.process.signalCode
  }

  spawn(node) {
    const child = spawn(node.program ?? this.options.program ?? program, ['serve', '--config', this.config], {
      cwd: this.folder, env: { ...process.env, ...secrets, ...this.#environment(node) }, stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        node.log = (node.log + data).slice(-200000)
        if (process.env.ANSWERD_SHOW_LOGS) process.stderr.write(`[${node.number}] ${data}`)
      })
    }
    node.process = child
    node.paused = false
    child.on('exit', (code, signal) => {
      if (!node.stopping && signal !== 'SIGKILL') this.unexpected.push(`node ${node.number} ended by itself with ${code ?? signal}: ${node.log.slice(-3000)}`)
    })
  }

  isAlive(node) {
    return node.process.exitCode === null && node.process.signalCode === null
  }

  async kill(node) {
    if (!this.isAlive(node)) return
    node.process.kill('SIGKILL')
    await once(node.process, 'exit')
  }

  ready() {
    return until('all nodes to be ready', async () => {
      for (const node of this.nodes) if (!(await fetch(`http://127.0.0.1:${node.adminPort}/readyz`)).ok) return false
      return true
    })
  }

  // Until all nodes know that the database's clock is so many seconds ahead of theirs.
  follow(seconds) {
    return until('all nodes to go by the clock of the database', async () => {
      for (const node of this.nodes) {
        const metrics = await (await fetch(`http://127.0.0.1:${node.adminPort}/metrics`)).text()
        if (!(Math.abs(Number(/^answerd_clock_ahead_seconds (.*)$/m.exec(metrics)?.[1]) + seconds) < 0.2)) return false
      }
      return true
    })
  }

  // Delivers as a provider does: again and again, to whatever node, until it is answered 200. `broken` are ways in which
  // the first tries break off: 'request' or 'answer'.
  async deliver(source, webhook, { node = 0, broken = [] } = {}) {
    const made = typeof webhook === 'function' ? webhook() : webhook
    for (const way of broken) await this.#breakOff(source, made, this.nodes[node % this.nodes.length], way)
    for (let attempt = node; ; attempt++) {
      const to = this.nodes[attempt % this.nodes.length]
      const status = await this.#post(`http://127.0.0.1:${to.port}/webhooks/${source}`, made)
      if (status === 200) return
      if (status !== 0 && status !== 503) throw new Error(`${source} was answered ${status}: ${made.body}`)
      if (this.abandoned) throw new Error('the round was abandoned')
      await sleep(30)
    }
  }

  async #post(url, { body, headers }) {
    this.attempted++
    try {
      const answer = await fetch(url, { method: 'POST', body, headers, signal: AbortSignal.timeout(5000) })
      await answer.arrayBuffer()
      if (answer.status === 200) this.acknowledged++
      return answer.status
    } catch {
      return 0
    }
  }

  // A client that goes away in the middle of its request, or before it has read the answer.
  #breakOff(source, { body, headers }, node, way) {
    return new Promise((done) => {
      this.attempted++
      const socket = connect(node.port, '127.0.0.1')
      const length = Buffer.byteLength(body)
      const head = `POST /webhooks/${source} HTTP/1.1\r\nHost: chaos\r\nContent-Length: ${length}\r\n` + Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('') + '\r\n'
      socket.on('error', done).on('close', done)
      socket.on('connect', () => {
        if (way === 'request') socket.write(head + body.slice(0, Math.floor(body.length / 2)), () => socket.destroy())
        else socket.write(head + body, () => setTimeout(() => socket.destroy(), 1))
      })
    })
  }

  // An action by the API, told again under its idempotency key until it is taken.
  async call(path, body, key, node = 0) {
    for (let attempt = node; ; attempt++) {
      const to = this.nodes[attempt % this.nodes.length]
      try {
        const answer = await fetch(`http://127.0.0.1:${to.adminPort}/api/v1${path}`, {
          method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(10000),
          headers: { authorization: `Bearer ${this.token}`, 'idempotency-key': key },
        })
        const text = await answer.text()
        if (answer.status === 200 || answer.status === 202) return JSON.parse(text)
        if (answer.status !== 503 && answer.status !== 409) throw new Error(`the API answered ${path} with ${answer.status}: ${text}`)
      } catch (error) {
        if (/the API answered/.test(error.message)) throw error
      }
      if (this.abandoned) throw new Error('the round was abandoned')
      await sleep(50)
    }
  }

  async stop() {
    const problems = [...this.unexpected]
    for (const node of this.nodes) {
      node.stopping = true
      if (this.isAlive(node)) {
        node.process.kill('SIGCONT')
        node.process.kill('SIGTERM')
        let limit
        const hangs = new Promise((done) => (limit = setTimeout(done, 180000, 'hangs')))
        const code = await Promise.race([once(node.process, 'exit').then(([code, signal]) => code ?? signal), hangs])
        clearTimeout(limit)
        if (code !== 0) problems.push(`node ${node.number} ended with ${code}: ${node.log.slice(-3000)}`)
        if (code === 'hangs') node.process.kill('SIGKILL')
      }
      if (/runtime error|Sanitizer/.test(node.log)) problems.push(`node ${node.number}: ${node.log.slice(-8000)}`)
      await node.link?.close()
    }
    this.abandoned = true // what a provider still has to tell finds nobody any more
    rmSync(this.folder, { recursive: true, force: true })
    return problems
  }
}
