// What goes wrong in one round: a plan from the seed, carried out while the traffic plays, and healed afterwards.

import { statfsSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from './random.mjs'

export const kinds = ['kill', 'pause', 'postgres', 'backends', 'connections', 'provider', 'disk', 'clock', 'freeze']
// 'freeze' outlasts the lease of a sender: half a minute each time. Beside 'clock', PostgreSQL's own time-outs are off by as much as its
// clock is. Neither is done unless it is asked for.
export const usual = kinds.filter((kind) => kind !== 'freeze' && kind !== 'clock')

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const length = 2500 // of a round's troubles, ms
const clockRange = 2 // how far the database's clock may be off while they last, to either side, s

// [{ at, kind, … }] in the order of time.
export function planFaults(seed, round, nodes, enabled) {
  const random = new Random(seed, round, 'faults')
  const plan = []
  const add = (kind, count, details) => {
    for (let number = 0; number < count; number++) plan.push({ at: random.between(50, length), kind, node: random.between(0, nodes - 1), ...details() })
  }
  const has = (kind) => enabled.includes(kind)
  if (has('kill')) add('kill', random.between(1, 4), () => ({ gone: random.choose({ 0: 3, 200: 1, 800: 1 }) * 1 }))
  if (has('pause')) add('pause', random.between(0, 2), () => ({ for: random.between(50, 2500), cutOff: random.chance(0.5) }))
  if (has('postgres') && random.chance(0.35)) add('postgres', 1, () => ({ how: random.choose({ immediate: 2, kill: 1, fast: 1 }), gone: random.between(0, 800) }))
  if (has('backends')) add('backends', random.between(0, 3), () => ({ share: random.of([0.2, 0.5, 1]) }))
  if (has('connections')) add('connections', random.between(0, 4), () => ({ skip: random.between(0, 30), way: random.of(['cut', 'cut after', 'cut within']) }))
  if (has('disk') && random.chance(0.3)) add('disk', 1, () => ({ for: random.between(200, 1500) }))
  if (has('clock')) add('clock', random.between(0, 3), () => ({ ahead: random.between(-1000 * clockRange, 1000 * clockRange) / 1000 }))
  if (has('freeze')) add('freeze', 1, () => ({ for: 33000 }))
  return plan.sort((one, other) => one.at - other.at)
}

// Whether the client breaks off its first tries of an act.
export function planBreaks(random, enabled) {
  if (!enabled.includes('connections')) return []
  return random.choose({ '': 10, request: 1, answer: 2 }).split(',').filter(Boolean)
}

export class Faults {
  constructor({ fleet, cluster, pool, plan }) {
    Object.assign(this, { fleet, cluster, pool, plan })
    this.done = [] // { from, to, kind, node }: when outcomes may have been lost
    this.cuts = new Map() // node -> [{ skip, way }]
    fleet.onMessage = (node, message) => this.#onMessage(node, message)
  }

  #onMessage(node, { type }) {
    const [cut] = this.cuts.get(node) ?? []
    if (!cut || type === 'startup' || cut.skip-- > 0) return undefined
    this.cuts.get(node).shift()
    this.#note('connections', node, Date.now(), Date.now())
    return cut.way
  }

  #note(kind, node, from, to) {
    this.done.push({ kind, node: node?.number ?? null, from, to })
  }

  async play() {
    const began = Date.now()
    await Promise.all(this.plan.map(async (fault) => {
      await sleep(began + fault.at - Date.now())
      const from = Date.now()
      const node = this.fleet.nodes[fault.node]
      await this['_' + fault.kind](fault, node)
      if (fault.kind !== 'connections') this.#note(fault.kind, node, from, Date.now())
    }))
  }

  async _kill(fault, node) {
    if (node.paused || node.restarting || !this.fleet.isAlive(node)) return
    node.restarting = true
    await this.fleet.kill(node)
    await sleep(fault.gone)
    this.fleet.spawn(node)
    node.restarting = false
  }

  async _pause(fault, node) {
    if (node.paused || node.restarting || !this.fleet.isAlive(node)) return
    const { process } = node
    node.paused = true
    process.kill('SIGSTOP')
    // To the others it is dead, and it does not know.
    if (fault.cutOff) node.link.cutAll()
    await sleep(fault.for)
    process.kill('SIGCONT')
    node.paused = false
  }

  // Longer than any lease: whatever it had in hand is somebody else's by now.
  _freeze(fault, node) {
    return this._pause({ for: fault.for, cutOff: false }, node)
  }

  async _postgres(fault) {
    if (this.databaseIsOut) return
    this.databaseIsOut = true
    if (fault.how === 'kill') await this.cluster.kill()
    else await this.cluster.stop(fault.how).catch(() => {})
    await sleep(fault.gone)
    await this.#startDatabase()
    this.databaseIsOut = false
  }

  async #startDatabase() {
    for (let attempt = 0; attempt < 20; attempt++) {
      if (await this.cluster.isRunning()) return
      await this.cluster.start().catch(() => sleep(200))
    }
    throw new Error('PostgreSQL does not start again')
  }

  async _backends(fault) {
    await this.pool.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'answerd %' AND random() < $1`, [fault.share]).catch(() => {})
  }

  async _connections(fault, node) {
    this.cuts.set(node, [...(this.cuts.get(node) ?? []), { skip: fault.skip, way: fault.way }])
  }

  // The clock of the database's machine is set, to before where it was or after.
  async _clock(fault) {
    this.cluster.setClock(fault.ahead)
  }

  // Not a byte more fits on the database's file system.
  async _disk(fault) {
    if (!this.cluster.mount) return
    this.ballast = join(this.cluster.mount, 'ballast')
    const { bavail, bsize } = statfsSync(this.cluster.mount)
    try {
      writeFileSync(this.ballast, Buffer.alloc(bavail * bsize))
    } catch {
      // it was faster
    }
    await sleep(fault.for)
    unlinkSync(this.ballast)
    this.ballast = null
    await this.#bringDatabaseBack()
  }

  // A recovery that finds no room ends PostgreSQL, for good: whoever made room starts it again.
  async #bringDatabaseBack() {
    for (let attempt = 0; attempt < 100 && !this.databaseIsOut; attempt++) {
      await this.#startDatabase()
      if (await this.pool.query('SELECT 1').then(() => true, () => false)) return
      await sleep(100)
    }
  }

  async heal() {
    this.cuts.clear()
    this.fleet.onMessage = undefined
    // What the rest of the round does comes after all that was done, by the database's clock as well.
    this.cluster.setClock(clockRange)
    await this.#startDatabase()
    for (const node of this.fleet.nodes) if (!this.fleet.isAlive(node)) this.fleet.spawn(node)
    await this.fleet.ready()
    if (this.cluster.clock) await this.fleet.follow(clockRange)
  }

  // Could an outcome that was known at `at` have been lost before it was written down?
  disturbed(at, within = 3000, of = kinds) {
    return this.done.some((fault) => of.includes(fault.kind) && fault.from <= at + within && fault.to >= at - within)
  }
}
