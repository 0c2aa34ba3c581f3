// Compares what is in the database, and what the providers were asked to send, with what the traffic of a round must have
// led to. Returns what is wrong, in words; nothing is wrong when the list is empty.

import { sendTimeout } from './fleet.mjs'

const rank = { queued: 10, sending: 20, blocked: 30, canceled: 30, unknown: 40, sent: 50, failed: 60, delivered: 70, read: 80 }

class Findings {
  constructor() {
    this.list = []
  }

  // `promise` is the short name of what was broken.
  add(promise, text) {
    this.list.push(`${promise}: ${text}`)
  }

  // Both are lists of texts; says what is missing, and what is there too often.
  same(promise, what, expected, found) {
    const counts = new Map()
    for (const one of expected) counts.set(one, (counts.get(one) ?? 0) - 1)
    for (const one of found) counts.set(one, (counts.get(one) ?? 0) + 1)
    for (const [one, count] of counts) if (count) this.add(promise, `${what} '${one}' is ${count < 0 ? 'missing' : `there ${count} time(s) too often`}`)
  }
}

export class Oracle {
  constructor({ round, fleet, provider, faults, pool, from }) {
    Object.assign(this, { round, fleet, provider, faults, pool, from })
    this.findings = new Findings()
    this.tag = `r${round.number}p`
  }

  async rows(sql, values) {
    return (await this.pool.query(sql, values)).rows
  }

  async check() {
    this.requests = this.provider.requests.slice(this.from)
    this.contacts = await this.#contacts()
    await this.#nothingIsLost()
    await this.#handledOnce()
    await this.#inOrder()
    await this.#effects()
    await this.#sends()
    await this.#linesWereKept()
    await this.#payments()
    await this.#surveys()
    await this.#nothingIsStuck()
    return this.findings.list
  }

  async #contacts() {
    const identities = this.round.people.map((person) => person.identity)
    const rows = await this.rows(`SELECT i.identity, c.id::text, c.attributes FROM identity i JOIN contact c ON c.id = i.contact_id AND c.merged_into IS NULL WHERE i.identity = ANY ($1)`, [identities])
    const active = this.round.people.filter((person) => person.messages > 0)
    this.findings.same('lost', 'the person', active.map((person) => person.identity), rows.map((row) => row.identity))
    return new Map(rows.map((row) => [row.identity, row]))
  }

  // Everything that was answered 200 is there, as it was received and as what it means.
  async #nothingIsLost() {
    const events = await this.rows(`
      SELECT CASE WHEN type LIKE 'timer.%' THEN 'timer' ELSE type END AS type,
             CASE WHEN type LIKE 'timer.%' THEN substr(type, 7)
                  WHEN type = 'custom.chaos' THEN doc #>> '{body,tag}' WHEN type = 'webhook.shop' THEN doc #>> '{body,tag}'
                  WHEN type = 'message.button' THEN doc #>> '{message,button,id}'
                  ELSE doc #>> '{message,text}' END AS what
        FROM event
       WHERE type IN ('message.received', 'message.button', 'message.edited', 'custom.chaos', 'webhook.shop') OR type LIKE 'timer.chaos-%'`)
    const mine = events.filter(({ what }) => what?.includes(this.tag))
    const of = (type) => mine.filter((event) => event.type === type).map(({ what }) => what)
    const tagsOf = (list) => list.map((text) => /r\d+p\d+m\d+/.exec(text)[0])
    const ids = (type) => [...(this.round.keys.get(type) ?? [])]
    this.findings.same('lost or doubled', 'message.received', tagsOf(ids('message.received')), tagsOf(of('message.received')))
    this.findings.same('lost or doubled', 'message.button', [...this.round.sends.keys()].filter((text) => text.startsWith('tapped ')).map((text) => text.replace('tapped', 'yes')), of('message.button'))
    this.findings.same('lost or doubled', 'timer', ids('timer'), of('timer'))
    this.findings.same('lost or doubled', 'custom.chaos', ids('custom.chaos'), of('custom.chaos'))
    this.findings.same('lost or doubled', 'webhook.shop', ids('webhook.shop'), of('webhook.shop'))
    const messages = await this.rows(`SELECT text FROM message WHERE direction = 'in' AND text LIKE $1`, [`%${this.tag}%`])
    this.findings.same('lost or doubled', 'the message', this.round.said.map(({ text }) => this.round.edits.get(text) ?? text), messages.map((row) => row.text).filter((text) => !/ yes$|^yes /.test(text)))
    const [{ count }] = await this.rows('SELECT count(*)::int FROM webhook')
    if (count < this.fleet.acknowledged) this.findings.add('lost', `${this.fleet.acknowledged} webhooks were answered 200, ${count} are kept`)
    if (count > this.fleet.attempted) this.findings.add('doubled', `${this.fleet.attempted} webhooks were sent, ${count} are kept`)
  }

  async #handledOnce() {
    for (const { event_id: event, count } of await this.rows('SELECT event_id::text, count(*)::int FROM handling GROUP BY 1 HAVING count(*) > 1')) this.findings.add('handled twice', `event ${event} was handled ${count} times`)
    for (const { id, type } of await this.rows('SELECT e.id::text, e.type FROM event e WHERE NOT EXISTS (SELECT FROM handling h WHERE h.event_id = e.id)')) this.findings.add('lost', `event ${id} (${type}) was never handled`)
    for (const row of await this.rows('SELECT source, key, count(*)::int FROM event GROUP BY 1, 2 HAVING count(*) > 1')) this.findings.add('handled twice', `the event '${row.key}' of ${row.source} is there ${row.count} times`)
    for (const row of await this.rows('SELECT event_id::text, rule, count(*)::int FROM rule_trace GROUP BY 1, 2 HAVING count(*) > 1')) this.findings.add('handled twice', `rule ${row.rule} has ${row.count} traces of event ${row.event_id}`)
    const untraced = await this.rows(`
      SELECT e.id::text, r.rule FROM event e
        JOIN (VALUES ('message.received', 'inbox'), ('message.received', 'chaos-order'), ('message.received', 'chaos-act'), ('message.button', 'chaos-tap'),
                     ('custom.chaos', 'chaos-emitted'), ('webhook.shop', 'chaos-shop'), ('payment.failed', 'payment-recovery')) AS r (type, rule) ON r.type = e.type
       WHERE (e.type NOT IN ('message.received', 'message.button') OR e.doc #>> '{message,text}' LIKE 'r%')
         AND NOT EXISTS (SELECT FROM rule_trace t WHERE t.event_id = e.id AND t.rule = r.rule)`)
    for (const row of untraced) this.findings.add('no trace', `event ${row.id} has no trace of rule ${row.rule}`)
    const failed = await this.rows(`SELECT e.doc #>> '{message,text}' AS text, t.rule, t.error FROM trace t JOIN event e ON e.id = t.event_id WHERE t.verdict NOT IN ('ran', 'skipped', 'no', 'not_matched', 'stopped', 'unmatched')`)
    for (const row of failed) if (!/^r\d+p\d+m\d+ fail/.test(row.text ?? '')) this.findings.add('a rule failed', `${row.rule} at '${row.text}': ${row.error}`)
  }

  // The numbers of each person's messages, in the order in which rules saw them.
  async #inOrder() {
    for (const person of this.round.people) {
      if (!person.seen.length) continue
      const seen = this.contacts.get(person.identity)?.attributes[`seen_${person.channel}`] ?? ''
      const expected = person.seen.map((number) => number + ',').join('')
      if (seen !== expected) this.findings.add('order', `${person.identity} wrote ${expected} and was handled as ${seen}`)
    }
  }

  async #effects() {
    const notes = await this.rows(`SELECT text FROM message WHERE direction = 'note' AND text LIKE $1`, [`note ${this.tag}%`])
    this.findings.same('effects', 'the note', this.round.notes, notes.map((row) => row.text))
    const timers = await this.rows(`SELECT name FROM timer WHERE name LIKE $1`, [`chaos-${this.tag}%`])
    this.findings.same('timers', 'the timer', this.round.pendingTimers, timers.map((row) => row.name))
    const ids = [...this.contacts.values()].map((contact) => contact.id)
    const conversations = await this.rows(`SELECT contact_id::text, topic, reference, count(*)::int, jsonb_agg(tags) AS tags FROM conversation WHERE contact_id = ANY ($1::bigint[]) AND topic = 'support' GROUP BY 1, 2, 3`, [ids])
    for (const row of conversations) if (row.count > 1) this.findings.add('one conversation', `contact ${row.contact_id} has ${row.count} conversations`)
    for (const text of this.round.never) if (this.requests.some((request) => request.text === text)) this.findings.add('half an effect', `'${text}' was sent by a rule that failed`)
    const tags = await this.rows(`SELECT c.tags, c.contact_id::text FROM conversation c WHERE c.contact_id = ANY ($1::bigint[])`, [ids])
    const kept = tags.flatMap((row) => row.tags).filter((tag) => tag.includes(this.tag))
    this.findings.same('effects', 'the tag', [...this.round.tags.values()].flat(), kept)
    const hooks = await this.rows(`SELECT request #>> '{body,tag}' AS tag, request::text FROM delivery WHERE kind = 'webhook' AND endpoint = 'tool'`)
    const mine = hooks.map((row) => row.tag ?? new RegExp(`${this.tag}\\d+m\\d+`).exec(row.request)?.[0]).filter((tag) => tag?.startsWith(this.tag))
    this.findings.same('effects', 'the outgoing webhook', this.round.hooks, mine)
  }

  // What left: as often as it may, in order, and the ledger says what is true.
  async #sends() {
    const rows = await this.rows(`
      SELECT m.text, m.state AS message_state, d.state, d.id::text, d.attempts, d.error_code, m.provider_message_id AS provider_id,
             (SELECT array_agg((extract(epoch FROM a.started_at) * 1000)::float8 ORDER BY a.started_at) FROM attempt a WHERE a.delivery_id = d.id AND a.duration_ms >= $2) AS ran_out,
             (extract(epoch FROM (SELECT x.at FROM stepped_out x WHERE x.delivery_id = d.id)) * 1000)::float8 AS stepped_out,
             (extract(epoch FROM (SELECT x.at FROM first_claim x WHERE x.delivery_id = d.id)) * 1000)::float8 AS claimed
        FROM message m LEFT JOIN delivery d ON d.message_id = m.id AND d.created_at >= m.created_at - interval '1 day'
       WHERE m.direction = 'out' AND m.text LIKE $1`, [`% ${this.tag}%`, sendTimeout])
    this.findings.same('effects', 'the message of ours', [...this.round.sends.keys()].filter((text) => this.round.sends.get(text)), rows.map((row) => row.text))
    const byText = new Map(rows.map((row) => [row.text, row]))
    for (const send of this.round.sends.values()) if (byText.has(send.text)) this.#oneSend(send, byText.get(send.text))
    for (const tag of this.round.hooks) this.#oneHook(tag)
    for (const person of this.round.people) this.#sendsInOrder(person, byText)
    const strangers = this.requests.filter((request) => request.text.includes(this.tag) && request.source !== 'hook' && !this.round.sends.has(request.text))
    for (const request of strangers) this.findings.add('blind send', `'${request.text}' was sent and nothing asked for it`)
  }

  #oneSend(send, row) {
    const requests = this.requests.filter((request) => request.text === send.text)
    const taken = requests.filter((request) => request.taken)
    const problem = (promise, text) => this.findings.add(promise, `'${send.text}' (${send.person.channel}, ${send.policy}): ${text}; requests ${JSON.stringify(requests.map(({ taken, answered, plan }) => [taken, answered, plan.answer]))}, delivery ${row.id} ${row.state}, message ${row.message_state}`)
    if (requests.some((request) => request.to !== send.person.handle)) problem('wrong person', 'it went to somebody else')
    // A further one needs a reason: the one before was refused, or nobody could know what became of it and the policy says so.
    requests.slice(1).forEach((request, at) => {
      const before = requests[at]
      if (!before.taken && (before.answered || this.faults.disturbed(before.at))) return
      const unclear = !this.#wasHeard(before, row)
      if (send.policy !== 'resend') problem('sent twice', `its request ${at + 1} was ${before.taken ? 'taken' : 'refused'}, and another followed`)
      else if (!unclear) problem('sent twice', 'its first request was answered in peace, and another followed')
    })
    const plan = requests[0]?.plan
    const states = new Set([...taken].flatMap((request) => [...(this.provider.posted.get(request.id) ?? [])]))
    const clear = taken.some((request) => this.#wasHeard(request, row))
    if (!requests.length) {
      const excused = this.faults.done.length > 0
      const fits = { hold: ['unknown'], give_up: ['failed'], resend: ['parked'] }[send.policy]
      if (!excused || !fits.includes(row.state)) problem('lost', 'it never left')
      return
    }
    if (!taken.length) {
      const fits = plan.refused ? ['failed', ...(this.faults.done.length ? ['unknown'] : [])] : ['unknown', 'failed', 'parked']
      if (!fits.includes(row.state)) problem('ledger', 'the provider never took it')
      return
    }
    if (!['sent', 'unknown', 'failed', 'parked'].includes(row.state)) problem('ledger', 'the provider took it')
    if (clear && row.state === 'unknown') problem('ledger', 'it is called unknown, and its answer came in peace')
    // The provider's own word settles it: by the message's id, or by what it echoes.
    const known = clear || send.person.channel === 'whatsapp'
    const best = [...states].sort((one, other) => rank[other] - rank[one])[0] ?? (clear ? 'sent' : null)
    if (known && best && row.message_state !== best && !(send.person.channel === 'messenger' || send.person.channel === 'instagram')) problem('ledger', `the provider said ${[...states].join(', ') || 'nothing'}`)
    if (known && best === 'delivered' && rank[row.message_state] < rank.delivered) problem('ledger', 'the provider said that it was delivered')
  }

  #oneHook(tag) {
    const requests = this.requests.filter((request) => request.source === 'hook' && request.text === tag)
    if (!requests.length) return this.findings.add('lost', `the outgoing webhook of ${tag} never came`)
    if (new Set(requests.map((request) => request.echo)).size > 1) this.findings.add('sent twice', `the outgoing webhook of ${tag} came under ${new Set(requests.map((request) => request.echo)).size} ids`)
    requests.slice(1).forEach((request, at) => {
      const before = requests[at]
      if (before.taken && before.answered && !this.faults.disturbed(before.answeredAt)) this.findings.add('sent twice', `the outgoing webhook of ${tag} was answered in peace, and came again`)
    })
  }

  // Could its sender take the provider's answer, and write it down? Not when it came after the time that a node waits for
  // it: on a machine that is busy enough, that happens without any fault of ours.
  #wasHeard(request, row) {
    const late = row.ran_out?.some((started) => started <= request.at && started + sendTimeout <= request.answeredAt)
    return request.answered && !late && !this.faults.disturbed(request.answeredAt)
  }

  // Direct answers reach the provider in the order of what they answer: the first request of each that is taken. Only one that
  // had been called unknown, and so had left the line, before the other was claimed may come after it.
  #sendsInOrder(person, byText) {
    const taken = this.requests.filter((request) => request.taken && request.to === person.handle)
    const firsts = taken.filter((request, at) => taken.findIndex((other) => other.text === request.text) === at)
    const sends = firsts.map((request) => this.round.sends.get(request.text)).filter((send) => send?.place && byText.has(send.text))
    sends.forEach((late, at) => {
      const leftAt = byText.get(late.text).stepped_out
      const overtaker = sends.slice(0, at).find(({ text, place }) => (place[0] - late.place[0] || place[1] - late.place[1]) > 0 && !(leftAt && leftAt <= byText.get(text).claimed))
      if (overtaker) this.findings.add('order', `'${late.text}' was sent after '${overtaker.text}'`)
    })
  }

  // Whatever is sent, messages and webhooks: nothing is claimed while an earlier one to the same recipient stands in line.
  async #linesWereKept() {
    for (const row of await this.rows('SELECT delivery_id::text, recipient, ahead::text, ahead_state FROM overtaken')) {
      this.findings.add('order', `delivery ${row.delivery_id} to ${row.recipient} was claimed while ${row.ahead} (${row.ahead_state}) stood before it in line`)
    }
  }

  async #payments() {
    const rows = await this.rows(`SELECT reference, array_agg(state) AS states, count(*)::int FROM outreach WHERE reference LIKE $1 GROUP BY 1`, [`in_${this.tag}%`])
    const found = new Map(rows.map((row) => [row.reference, row]))
    for (const [invoice, { state }] of this.round.outreaches) {
      const row = found.get(invoice)
      if (!row) this.findings.add('lost', `no outreach for ${invoice}`)
      else if (row.count !== 1) this.findings.add('effects', `${row.count} outreaches for ${invoice}`)
      else if (row.states[0] !== state) this.findings.add('effects', `the outreach for ${invoice} is ${row.states[0]} instead of ${state}`)
    }
    const sent = await this.rows(`SELECT o.reference, m.state, d.id::text FROM outreach o JOIN message m ON m.outreach_id = o.id JOIN delivery d ON d.message_id = m.id WHERE o.reference LIKE $1 AND m.direction = 'out'`, [`in_${this.tag}%`])
    for (const [invoice] of this.round.outreaches) {
      const mine = sent.filter((row) => row.reference === invoice)
      if (mine.length !== 1) this.findings.add('effects', `${mine.length} messages of the outreach for ${invoice}`)
      for (const row of mine) {
        const requests = this.requests.filter((request) => request.echo === row.id)
        if (requests.length > 1) this.findings.add('sent twice', `the message of the outreach for ${invoice} was sent ${requests.length} times`)
        if (!requests.length && !['canceled', 'unknown'].includes(row.state)) this.findings.add('lost', `the message of the outreach for ${invoice} never left and is ${row.state}`)
      }
    }
  }

  async #surveys() {
    for (const { person, score, skipped } of this.round.surveys) {
      if (skipped) continue
      const rows = await this.rows(`SELECT s.state, s.score FROM survey s WHERE s.contact_id = $1`, [this.contacts.get(person.identity)?.id ?? 0])
      if (rows.length !== 1) this.findings.add('effects', `${person.identity} was asked ${rows.length} times`)
      else if (rows[0].score !== score) this.findings.add('effects', `${person.identity} gave ${score}, and the survey says ${rows[0].score} (${rows[0].state})`)
    }
  }

  async #nothingIsStuck() {
    const stuck = await this.rows(`
      SELECT 'work' AS what, count(*)::int FROM work UNION ALL SELECT 'outbox', count(*)::int FROM outbox
      UNION ALL SELECT 'parked events', count(*)::int FROM parked_event
      UNION ALL SELECT 'deliveries that are neither over nor waiting', count(*)::int FROM delivery WHERE state IN ('queued', 'sending', 'retrying', 'held')
      UNION ALL SELECT 'messages that are neither over nor waiting', count(*)::int FROM message WHERE direction = 'out' AND state IN ('queued', 'sending')
      UNION ALL SELECT 'timers that are overdue', count(*)::int FROM timer WHERE due_at < clock_timestamp() - interval '5 seconds'
      UNION ALL SELECT 'statuses of unknown messages', count(*)::int FROM unmatched_status u JOIN message m ON m.provider_message_id = u.provider_message_id AND m.source = u.source
      UNION ALL SELECT 'rules in quarantine', count(*)::int FROM rule_health WHERE quarantined_until > clock_timestamp()`)
    for (const { what, count } of stuck) if (count) this.findings.add('stuck', `${count} ${what}`)
    const held = await this.rows(`SELECT l.classid, l.objid, a.application_name, a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.classid IN (4201, 4203, 4205) AND a.state NOT LIKE 'active' AND clock_timestamp() - a.state_change > interval '3 seconds'`)
    for (const lock of held) this.findings.add('stuck', `${lock.application_name} (${lock.state}) holds the lock ${lock.classid} ${lock.objid}`)
  }
}

// Watches the ledger while the round plays: what was sent, delivered or read is never anything less again.
export class LedgerWatch {
  constructor(pool, pattern) {
    Object.assign(this, { pool, pattern, states: new Map(), findings: [], over: false })
    this.watching = this.#watch()
  }

  async #watch() {
    while (!this.over) {
      const rows = await this.pool.query(`SELECT id::text, state, text FROM message WHERE direction = 'out' AND text LIKE $1`, [this.pattern]).then((result) => result.rows, () => [])
      for (const { id, state, text } of rows) {
        const before = this.states.get(id)
        if (rank[before] >= rank.sent && rank[state] < rank[before]) this.findings.push(`ledger: '${text}' was ${before} and is ${state}`)
        this.states.set(id, state)
      }
      await new Promise((done) => setTimeout(done, 100))
    }
  }

  async end() {
    this.over = true
    await this.watching
    return this.findings
  }
}
