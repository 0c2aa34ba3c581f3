// People who are erased while they write: by `erase_contact()` in the middle of their messages, timers and sends, and once more
// when all is quiet. Then nothing of theirs may be left, in any column of any table.

import { channels } from './traffic.mjs'
import { Random } from './random.mjs'

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

export class Forgotten {
  constructor({ seed, round, nodes, fleet, pool, people = 2 }) {
    Object.assign(this, { round, nodes, fleet, pool, findings: [], began: new Date(Date.now() - 5000) }) // the database's clock may be behind
    this.people = Array.from({ length: people }, (_, number) => ({
      number, handle: channels.whatsapp.handle(round, 90 + number), random: new Random(seed, round, 'forgotten', number),
    }))
  }

  async play() {
    await Promise.all(this.people.map((person) => Promise.all([this.#write(person), this.#eraseMeanwhile(person)])))
  }

  async #write({ number, handle, random }) {
    for (let message = 1; message <= 6; message++) {
      const tag = `f${this.round}p${number}m${message}`
      await this.fleet.deliver('whatsapp', channels.whatsapp.says(handle, `forget ${tag}`, `wamid.${tag}`), { node: random.between(0, this.nodes - 1) })
      await sleep(random.between(0, 300))
    }
  }

  async #eraseMeanwhile(person) {
    for (let time = 0; time < 3; time++) {
      await sleep(person.random.between(200, 700))
      await this.#erase(person).catch((error) => {
        // Trouble is played: a lost connection or a full disk. But nobody may wait for each other.
        if (error.code === '40P01') this.findings.push(`erased: ${error.message}: ${error.detail}`)
      })
    }
  }

  #erase({ handle }) {
    return this.pool.query('SELECT erase_contact(contact_id) FROM identity WHERE identity = $1', [`whatsapp:${handle}`])
  }

  // When nothing is to be done any more.
  async check() {
    for (const person of this.people) await this.#erase(person)
    // What came after an erasure, such as the status of a message that had left, is found by the contact that there was.
    await this.pool.query('SELECT erase_contact(id) FROM contact WHERE erased_at >= $1', [this.began])
    const { rows: tables } = await this.pool.query(`SELECT c.relname AS name FROM pg_class c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT IN ('rule_file', 'witness')`)
    for (const { name } of tables) {
      const text = name === 'webhook' ? `encode(t.body, 'escape') || t::text` : 't::text'
      const { rows } = await this.pool.query(`SELECT left(substring(${text} FROM $1), 300) AS found FROM "${name}" AS t WHERE ${text} ~ $1 LIMIT 3`,
        [`.{0,100}(?:${this.people.map(({ handle }) => handle).join('|')}|\\mf${this.round}p\\d+m).{0,100}`])
      for (const { found } of rows) this.findings.push(`erased: ${name} still knows: ${found}`)
    }
    return this.findings
  }
}
