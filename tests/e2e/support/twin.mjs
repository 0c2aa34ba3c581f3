// The same story on the server and in `answerd test`: what the server did is written down as the expectations of a rule test.
//
// Time passes on the server by setting everything that is in its tables back: nobody waits.

import { mkdtempSync, readdirSync, rmSync, writeFileSync, cpSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripe, telegram, whatsapp } from './providers.mjs'
import { run, until } from './system.mjs'

const lua = (value) => value === null || value === undefined ? 'nil'
  : Array.isArray(value) ? `{ ${value.map(lua).join(', ')} }`
  : typeof value === 'object' ? `{ ${Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => `[${lua(key)}] = ${lua(item)}`).join(', ')} }`
  : typeof value === 'string' ? `"${value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"` : String(value)

// What an effect asks for, without the numbers and times that each world makes for itself.
const own = new Set(['made', 'line', 'conversation', 'handle', 'until', 'at', 'next_attempt', 'survey_id', 'outreach_id', 'instead_of'])
const asked = (effect) => Object.fromEntries(Object.entries(effect).filter(([key]) => !own.has(key)))
const count = (list) => list.reduce((all, one) => all.set(one, (all.get(one) ?? 0) + 1), new Map())
const units = { s: 1, m: 60, h: 3600, d: 86400 }
const seconds = (text) => [...text.matchAll(/(\d+)([smhd])/g)].reduce((sum, [, number, unit]) => sum + number * units[unit], 0)

export class Twin {
  constructor(system, token, name, person) {
    Object.assign(this, { system, token, name, person, lines: [], seen: [], step: 0, chat: 100 })
  }

  // Nothing is left to do: no event, no timer that is due, no message on its way, no webhook of a provider. A message that
  // waits for a second attempt or for its turn is on its way, however late it is due.
  async settle() {
    await until(`the server to be idle: ${this.name}, step ${this.step}`, async () => {
      const { webhooks_waiting: waiting } = await (await fetch(`${this.system.simulateUrl}/control/state`)).json()
      return waiting === 0 && this.system.value(`SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM timer WHERE due_at <= now())
        AND NOT EXISTS (SELECT FROM outbox)`)
    })
  }

  contact() {
    return this.system.value(`SELECT coalesce(c.merged_into, c.id) FROM identity i JOIN contact c ON c.id = i.contact_id WHERE i.identity = $1`, [this.person])
  }

  async conversation() {
    return this.system.value('SELECT id FROM conversation WHERE contact_id = $1 ORDER BY updated_at DESC, id DESC LIMIT 1', [await this.contact()])
  }

  get from() {
    return this.person.startsWith('whatsapp:') ? `from = { whatsapp = "${this.person.slice(9)}", name = "Ada Lovelace" }` : `from = { telegram = "${this.person.slice(9)}", name = "Grace" }`
  }

  // Something happens in both worlds, and the test expects what came of it on the server.
  async happen(line, act) {
    this.seen = await this.system.value(`SELECT coalesce(array_agg(id), '{}') FROM (SELECT id FROM message UNION ALL SELECT id FROM event) AS all_known`)
    this.lines.push(line)
    await act()
    await this.settle()
    await this.expect()
    this.step++
  }

  say(text) {
    const [, id] = this.person.split(':')
    return this.happen(`t:message { text = ${lua(text)}, ${this.from} }`, () => this.person.startsWith('whatsapp:')
      ? this.system.post('whatsapp', whatsapp.message(id, text)) : this.system.post('telegram', telegram.message(Number(id), text, { id: ++this.chat })))
  }

  // An image with a caption, on WhatsApp.
  show(caption) {
    return this.happen(`t:message { text = ${lua(caption)}, media = { kind = "image", id = "m1", mime_type = "image/jpeg" }, ${this.from} }`,
      () => this.system.post('whatsapp', whatsapp.message(this.person.slice(9), { type: 'image', image: { id: 'm1', mime_type: 'image/jpeg', caption } })))
  }

  // The last message says something else now, on Telegram.
  edit(text) {
    const id = Number(this.person.slice(9)), now = Math.floor(Date.now() / 1000)
    return this.happen(`t:edit { text = ${lua(text)} }`, () => this.system.post('telegram', telegram.update({ edited_message: {
      message_id: this.chat, date: now, edit_date: now, text, from: { id, is_bot: false, first_name: 'Grace' }, chat: { id, type: 'private', first_name: 'Grace' } } })))
  }

  // A tap on a button of the last message that has one with this text.
  async tap(text) {
    const button = await this.system.value(`SELECT b FROM message m, jsonb_array_elements(m.content->'buttons') b
      WHERE m.contact_id = $1 AND b->>'text' = $2 ORDER BY m.id DESC LIMIT 1`, [await this.contact(), text])
    const content = { type: 'interactive', interactive: { type: 'button_reply', button_reply: { id: button.id, title: button.text } } }
    await this.happen(`t:tap ${lua(text)}`, () => this.system.post('whatsapp', whatsapp.message(this.person.slice(9), content)))
  }

  // `kind` of Stripe; the test gets the event that the server made of it. `created` is the second in which Stripe has it.
  async pay(kind, object, created) {
    const id = 'evt_' + this.name.replace(/\W/g, '') + this.step
    const at = this.lines.length
    await this.happen('', () => this.system.post('stripe', stripe.event(kind, object, { id, created })).then(() => this.settle()))
    const doc = await this.system.value('SELECT doc FROM event WHERE key = $1', [id])
    const fields = Object.fromEntries(['payment', 'subscription', 'order'].filter((part) => doc[part]).map((part) => [part, doc[part]]))
    for (const part of Object.values(fields)) for (const [key, value] of Object.entries(part)) if (/^\d{4}-\d\d-\d\dT/.test(value)) delete part[key]
    this.lines[at] = `t:event(${lua(doc.type)}, ${lua({ ...fields, contact: { identities: doc.contact.identities, name: doc.contact.name } })})`
  }

  async agent(verb, value) {
    const keys = { reply: 'text', note: 'text', tag: 'tag', assign: 'assignee', prioritize: 'priority', snooze: 'for', survey: 'survey' }
    const conversation = await this.conversation()
    await this.happen(`t:agent(${lua(verb)}${value ? ', ' + lua(value) : ''})`, async () => {
      const answer = await fetch(`${this.system.admin}/api/v1/conversations/${conversation}/${verb}`, {
        method: 'POST', headers: { authorization: `Bearer ${this.token}` }, body: JSON.stringify({ agent: 'test', ...(value ? { [keys[verb]]: value } : {}) }),
      })
      if (!answer.ok) throw new Error(`${verb}: ${await answer.text()}`)
    })
  }

  async emit(name, body) {
    await this.happen(`t:event("custom.${name}", { body = ${lua(body)} })`, async () => {
      const [kind, value] = this.person.split(':')
      const answer = await fetch(`${this.system.admin}/api/v1/events`, {
        method: 'POST', headers: { authorization: `Bearer ${this.token}` }, body: JSON.stringify({ name, contact: { [kind]: value }, body }),
      })
      if (!answer.ok) throw new Error(await answer.text())
    })
  }

  // The provider reports on the last message that left.
  async status(state, code) {
    const last = await this.system.value(`SELECT to_jsonb(m) FROM message m WHERE contact_id = $1 AND direction = 'out' AND provider_message_id IS NOT NULL ORDER BY id DESC LIMIT 1`, [await this.contact()])
    const status = { id: last.provider_message_id, status: state, timestamp: String(Math.floor(Date.now() / 1000)), recipient_id: this.person.slice(9) }
    if (code) status.errors = [{ code, title: 'it failed' }]
    await this.happen(`t:status(${lua(state)}${code ? `, { code = "${code}", reason = "it failed" }` : ''})`,
      () => this.system.post('whatsapp', whatsapp.sign(whatsapp.envelope({ statuses: [status] }))))
  }

  pass(duration) {
    return this.happen(`t:advance ${lua(duration)}`, async () => {
      const tables = await this.system.rows(`SELECT c.table_name AS name, string_agg(format('%1$I = %1$I - $1::interval', c.column_name), ', ') AS columns
        FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
       WHERE t.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type = 'timestamp with time zone'
         AND c.column_name <> 'counts_from' AND c.table_name IN ('contact', 'identity', 'address', 'conversation', 'message', 'survey', 'outreach', 'timer', 'delivery', 'outbox', 'held_delivery')
       GROUP BY c.table_name`)
      // In one statement: timers are not due before what they are about is as old.
      await this.system.db.query(tables.map((table) => `UPDATE ${table.name} SET ${table.columns.replaceAll('$1', `'${seconds(duration)} s'`)}`).join(';'))
    })
  }

  async expect() {
    const { system } = this
    const contact = await this.contact()
    const add = (line) => this.lines.push('  ' + line)
    const sent = await system.rows(`SELECT m.*, d.sent_as, d.request FROM message m LEFT JOIN delivery d ON d.message_id = m.id
      WHERE m.contact_id = $1 AND m.id <> ALL ($2) AND m.direction = 'out' ORDER BY d.id`, [contact, this.seen])
    for (const message of sent) {
      const content = message.content
      if (['sent', 'delivered', 'read', 'failed'].includes(message.state) && message.provider_message_id) {
        add(`t:expect_sent ${lua({ text: message.text, channel: message.source, kind: message.kind, author: message.author, template: content.template ?? false, survey: content.survey ?? false,
          language: content.language, approved: message.sent_as === 'approved', buttons: (content.buttons ?? []).map((button) => button.text), step: content.step })}`)
      } else {
        add(`t:expect_message ${lua({ text: message.text, channel: message.source, state: message.state, reason: message.reason ?? false, error_code: message.error_code ?? false })}`)
      }
    }
    add('t:expect_nothing()')
    const notes = await system.rows(`SELECT text FROM message WHERE contact_id = $1 AND id <> ALL ($2) AND direction = 'note'`, [contact, this.seen])
    for (const note of notes) add(`t:expect_note(${lua(note.text)})`)
    await this.expectTraces(add, contact)
    await this.expectRows(add, contact)
  }

  async expectTraces(add, contact) {
    const traces = await this.system.rows(`SELECT e.type, t.rule, t.verdict, t.effects, t.error FROM event e JOIN handling h ON h.event_id = e.id JOIN trace t ON t.event_id = e.id
      WHERE e.id <> ALL ($1) AND (h.contact_id = $2 OR h.contact_id IN (SELECT id FROM contact WHERE merged_into = $2)) ORDER BY t.event_id, t.number`, [this.seen, contact])
    const types = await this.system.rows(`SELECT e.type FROM event e JOIN handling h ON h.event_id = e.id
      WHERE e.id <> ALL ($1) AND (h.contact_id = $2 OR h.contact_id IN (SELECT id FROM contact WHERE merged_into = $2))`, [this.seen, contact])
    for (const [type, number] of count(types.map((row) => row.type))) add(`t:expect_event ${lua({ type, count: number })}`)
    const effects = traces.filter((trace) => trace.verdict === 'ran').flatMap((trace) => trace.effects.map((effect) => ({ rule: trace.rule, effect })))
    for (const { rule, effect } of effects) add(`t:expect_effect ${lua({ rule, refused: effect.refused ?? false, ...asked(effect) })}`)
    for (const [kind, number] of count(effects.map(({ effect }) => effect.do))) add(`t:expect_effect ${lua({ do: kind, count: number })}`)
    for (const trace of traces.filter(({ verdict }) => verdict === 'failed' || verdict === 'over_budget')) {
      add(`t:expect_error ${lua({ rule: trace.rule, contains: trace.error.replace(/^\S+:\d+: /, '').split('\n')[0] })}`)
    }
  }

  async expectRows(add, contact) {
    const rows = async (verb, sql, shown) => {
      const all = await this.system.rows(sql, [contact])
      for (const row of all) add(`t:${verb} ${lua(shown(row))}`)
      add(all.length ? `t:${verb} { count = ${all.length} }` : `t:${verb}(false)`)
    }
    await rows('expect_conversation', 'SELECT * FROM conversation WHERE contact_id = $1', (row) => ({
      topic: row.topic, reference: row.reference, state: row.state, priority: row.priority, assignee: row.assignee ?? false, tags: row.tags, episode: row.episode, channel: row.source ?? false,
      first_reply_at: row.first_reply_at ? undefined : false, last_inbound_at: row.last_inbound_at ? undefined : false, snoozed_until: row.snoozed_until ? undefined : false }))
    const timers = await this.system.rows(`SELECT * FROM timer WHERE contact_id = $1 AND name NOT IN ('window.closing', 'snooze', 'survey.expired', 'outreach.step')`, [contact])
    for (const row of timers) add(`t:expect_timer ${lua({ name: row.name, data: row.data, unless: row.unless })}`)
    add(timers.length ? `t:expect_timer { count = ${timers.length} }` : 't:expect_timer(false)')
    const names = await this.system.rows(`SELECT name, count(*)::int FROM timer WHERE contact_id = $1 AND name IN ('window.closing', 'snooze', 'survey.expired', 'outreach.step') GROUP BY 1`, [contact])
    for (const row of names) add(`t:expect_timer ${lua(row)}`)
    await rows('expect_survey', 'SELECT * FROM survey WHERE contact_id = $1', (row) => ({ name: row.name, state: row.state, score: row.score ?? false, comment: row.comment ?? false, episode: row.episode }))
    await rows('expect_outreach', 'SELECT * FROM outreach WHERE contact_id = $1', (row) => ({ topic: row.topic, reference: row.reference, state: row.state, step: row.step, reached_at: row.reached_at ? undefined : false }))
    const [who] = await this.system.rows('SELECT * FROM contact WHERE id = $1', [contact])
    add(`t:expect_contact ${lua({ name: who.name ?? false, opted_out: who.opted_out, preferred_channel: who.preferred_channel ?? false, attributes: who.attributes })}`)
  }

  get test() {
    return `test(${lua(this.name)}, function(t)\n${this.lines.map((line) => '  ' + line).join('\n')}\nend)\n`
  }
}

// Runs the tests beside the rules of the system; resolves with what `answerd test` says.
export async function runTests(system, twins) {
  const folder = mkdtempSync(join(tmpdir(), 'answerd-twin-'))
  cpSync(system.rules, folder, { recursive: true })
  for (const name of readdirSync(folder)) if (name.endsWith('_test.lua')) rmSync(join(folder, name))
  writeFileSync(join(folder, 'twin_test.lua'), twins.map((twin) => twin.test).join('\n'))
  const { code, stdout, stderr } = await run(['test', folder])
  if (code === 0) rmSync(folder, { recursive: true })
  // What failed comes first: of a long output only the beginning may be shown.
  const lines = stdout.split('\n')
  return { code, folder, said: [...lines.filter((line) => !line.startsWith('ok ')), stderr].join('\n') }
}
