// What happens in one round, and what must have come of it. Both are made here, from the seed, before anything is sent:
// nothing is asked of answerd.
//
// A person acts in order and waits for each 200; persons act at the same time. Three share a stream of Meta's batches.

import { createHmac } from 'node:crypto'
import { meta, stripe, telegram, whatsapp } from '../e2e/support/providers.mjs'
import { Random } from './random.mjs'

export const shopSecret = 'the secret of a shop'
export const page = '555'
export const account = '777'

const messaging = (object, owner, person, event) => meta.sign({
  object, entry: [{ id: owner, time: Date.now(), messaging: [{ sender: { id: person }, recipient: { id: owner }, timestamp: Date.now(), ...event }] }],
})

// How each channel says that somebody wrote `text`, tapped a button, or changed what they had written.
export const channels = {
  whatsapp: {
    handle: (round, person) => `1556${String(round).padStart(6, '0')}${String(person).padStart(2, '0')}`,
    says: (who, text, id) => whatsapp.message(who, text, { id }),
    taps: (who, button, title, id) => whatsapp.message(who, { type: 'interactive', interactive: { type: 'button_reply', button_reply: { id: button, title } } }, { id }),
  },
  telegram: {
    handle: (round, person) => String(7000000 + round * 100 + person),
    says: (who, text, id, number) => telegram.update({ update_id: updateNumber(id), message: telegramMessage(who, text, number) }),
    edits: (who, text, id, number) => telegram.update({ update_id: updateNumber(id), edited_message: { ...telegramMessage(who, text, number), edit_date: seconds() + number } }),
    taps: (who, button, title, id) => telegram.update({ update_id: updateNumber(id), callback_query: { id, chat_instance: '1', data: button, from: telegramPerson(who), message: { message_id: 1, date: seconds(), chat: { id: Number(who), type: 'private' } } } }),
  },
  messenger: {
    handle: (round, person) => `81${round}0${String(person).padStart(2, '0')}`,
    says: (who, text, id) => messaging('page', page, who, { message: { mid: id, text } }),
  },
  instagram: {
    handle: (round, person) => `91${round}0${String(person).padStart(2, '0')}`,
    says: (who, text, id) => messaging('instagram', account, who, { message: { mid: id, text } }),
  },
}
const seconds = () => Math.floor(Date.now() / 1000)
const telegramPerson = (who) => ({ id: Number(who), is_bot: false, first_name: 'Grace', language_code: 'en' })
const telegramMessage = (who, text, number) => ({ message_id: number, date: seconds(), text, from: telegramPerson(who), chat: { id: Number(who), type: 'private' } })
const updateNumber = (id) => Number(BigInt('0x' + createHmac('sha256', 'update').update(id).digest('hex').slice(0, 12)))

const shop = {
  says(body) {
    const text = JSON.stringify(body)
    return { body: text, headers: { 'content-type': 'application/json', 'x-signature': createHmac('sha256', shopSecret).update(text).digest('hex') } }
  },
}

// How often a person does what, by channel. Telegram and the Messengers take few messages at once from us.
const habits = {
  whatsapp: { echo: 8, many: 3, timer: 3, cancel: 1, emit: 3, hook: 2, menu: 2, fail: 1, pay: 2, api: 2, shop: 1 },
  telegram: { echo: 6, emit: 1, hook: 2, menu: 1, edit: 3, timer: 1, fail: 1 },
  messenger: { echo: 6, timer: 1, hook: 1, fail: 1 },
  instagram: { echo: 6, emit: 1, hook: 1 },
}
const mostSends = { whatsapp: 16, telegram: 5, messenger: 6, instagram: 6 }

export class Round {
  constructor(seed, number, { people = 10 } = {}) {
    this.number = number
    this.random = new Random(seed, number, 'traffic')
    this.people = []
    this.streams = []
    this.sends = new Map() // text -> { text, person, policy, place }
    this.notes = new Set()
    this.hooks = new Set()
    this.tags = new Map() // person -> tags of the conversation
    this.never = new Set() // texts
    this.pendingTimers = new Set()
    this.edits = new Map()
    this.said = [] // { person, text } of what they wrote
    this.outreaches = new Map() // invoice -> { state, person }
    this.surveys = [] // persons, with the score that they give at the end
    this.keys = new Map() // type -> keys of the events that must be there
    for (let person = 0; person < people; person++) this.#addPerson(person)
    this.#play()
  }

  #addPerson(number) {
    const channel = number < 5 ? 'whatsapp' : ['telegram', 'telegram', 'messenger', 'instagram', 'whatsapp'][number % 5]
    const handle = channels[channel].handle(this.number, number)
    this.people.push({ number, channel, handle, identity: `${channel}:${handle}`, seen: [], sends: 0, messages: 0 })
  }

  #event(type, key) {
    if (!this.keys.has(type)) this.keys.set(type, new Set())
    this.keys.get(type).add(key)
  }

  // A message of ours that must leave; `place` is where it stands in the order of its person's direct answers.
  #send(person, text, { policy = 'hold', place = null } = {}) {
    this.sends.set(text, { text, person, policy, place })
    person.sends++
  }

  #says(person, verb, argument = '') {
    const number = ++person.messages
    const tag = `r${this.number}p${person.number}m${number}`
    const id = `${person.channel === 'whatsapp' ? 'wamid' : 'm'}.${tag}`
    const text = `${tag} ${verb} ${argument}`.trim()
    person.seen.push(number)
    this.said.push({ person, text })
    this.#event('message.received', id)
    return { tag, id, number, webhook: () => channels[person.channel].says(person.handle, text, id, number), text }
  }

  // One act: a list of { source, webhook } to be delivered in order.
  #act(person) {
    if (person.messages === 0) return this._echo(person) // who never wrote has no open window
    const full = person.sends + 2 > mostSends[person.channel]
    const verb = full ? this.random.choose({ hook: 2, cancel: person.channel === 'whatsapp' ? 1 : 0, fail: 1 }) : this.random.choose(habits[person.channel])
    return this['_' + verb](person)
  }

  _echo(person) {
    const policy = this.random.choose({ hold: 6, resend: 2, give_up: 1 })
    const said = this.#says(person, 'echo', policy)
    this.#send(person, `echo ${said.tag}`, { policy, place: [said.number, 0] })
    return [{ source: person.channel, ...said }]
  }

  _many(person) {
    const said = this.#says(person, 'many')
    this.#send(person, `one ${said.tag}`, { place: [said.number, 0] })
    this.#send(person, `two ${said.tag}`, { place: [said.number, 1] })
    this.notes.add(`note ${said.tag}`)
    this.tags.set(person, [...(this.tags.get(person) ?? []), said.tag])
    return [{ source: person.channel, ...said }]
  }

  _timer(person) {
    if (this.random.chance(0.3)) {
      const said = this.#says(person, 'timer', '2h')
      person.longTimer = said.tag
      this.pendingTimers.add(`chaos-${said.tag}`)
      return [{ source: person.channel, ...said }]
    }
    const said = this.#says(person, 'timer', this.random.of(['1s', '1500ms', '2s']))
    this.#send(person, `timer ${said.tag}`)
    this.#event('timer', `chaos-${said.tag}`)
    return [{ source: person.channel, ...said }]
  }

  _cancel(person) {
    if (!person.longTimer) return this._timer(person)
    const said = this.#says(person, 'cancel', person.longTimer)
    this.pendingTimers.delete(`chaos-${person.longTimer}`)
    person.longTimer = null
    return [{ source: person.channel, ...said }]
  }

  _emit(person) {
    const said = this.#says(person, 'emit')
    this.#send(person, `emitted ${said.tag}`)
    this.#event('custom.chaos', said.tag)
    return [{ source: person.channel, ...said }]
  }

  _hook(person) {
    const said = this.#says(person, 'hook')
    this.hooks.add(said.tag)
    return [{ source: person.channel, ...said }]
  }

  _fail(person) {
    const said = this.#says(person, 'fail')
    this.never.add(`never ${said.tag}`)
    return [{ source: person.channel, ...said }]
  }

  _menu(person) {
    const said = this.#says(person, 'menu')
    this.#send(person, `menu ${said.tag}`, { place: [said.number, 0] })
    if (this.random.chance(0.3)) return [{ source: person.channel, ...said }]
    const number = ++person.messages
    const id = `${person.channel === 'whatsapp' ? 'wamid' : 'tap'}.r${this.number}p${person.number}m${number}`
    if (person.channel === 'whatsapp') person.seen.push(number)
    this.#event('message.button', id)
    this.#send(person, `tapped ${said.tag}`, { place: [number, 0] })
    const webhook = () => channels[person.channel].taps(person.handle, `yes ${said.tag}`, `r${this.number}p${person.number}m${number} yes`, id)
    return [{ source: person.channel, ...said }, { source: person.channel, id, webhook }]
  }

  _edit(person) {
    const said = this._echo(person)[0]
    const acts = [{ source: person.channel, ...said }]
    const edits = this.random.between(1, 2)
    for (let edit = 1; edit <= edits; edit++) {
      const text = `edited ${edit} ${said.tag}`
      const id = `edit.${edit}.${said.tag}`
      this.edits.set(said.text, text)
      acts.push({ source: person.channel, id, webhook: () => telegram.update({ update_id: updateNumber(id), edited_message: { ...telegramMessage(person.handle, text, said.number), edit_date: seconds() + edit } }) })
    }
    return acts
  }

  // A payment that fails, perhaps once more, and perhaps comes in.
  _pay(person) {
    const number = ++person.messages
    const invoice = `in_r${this.number}p${person.number}m${number}`
    const object = (more = {}) => stripe.invoice({ id: invoice, customer: `cus_r${this.number}p${person.number}`, phone: person.handle, amount: 1000 + number, ...more })
    const acts = []
    const add = (type, suffix, about) => {
      const id = `evt_${invoice}_${suffix}`
      acts.push({ source: 'stripe', id, webhook: () => stripe.event(type, about, { id }) })
    }
    add('invoice.payment_failed', 'failed', object())
    if (this.random.chance(0.3)) add('invoice.payment_failed', 'again', object({ attempt: 2 }))
    const paid = this.random.chance(0.6)
    if (paid) add('invoice.paid', 'paid', { ...object(), status: 'paid' })
    this.outreaches.set(invoice, { state: paid ? 'recovered' : 'active', person })
    person.sends++
    return acts
  }

  // The API is told that something happened, and a tool's webhook: both become events of the person.
  _api(person) {
    const number = ++person.messages
    const tag = `r${this.number}p${person.number}m${number}`
    this.#send(person, `emitted ${tag}`)
    this.#event('custom.chaos', tag)
    return [{ source: 'api', id: tag, body: { name: 'chaos', key: tag, body: { tag }, contact: { whatsapp: person.handle } } }]
  }

  _shop(person) {
    const number = ++person.messages
    const tag = `r${this.number}p${person.number}m${number}`
    this.#send(person, `emitted ${tag}`)
    this.#event('custom.chaos', tag)
    this.#event('webhook.shop', tag)
    return [{ source: 'shop', id: tag, webhook: () => shop.says({ tag, whatsapp: person.handle }) }]
  }

  // Several messages of several people in one webhook, as Meta sends them when it has to catch up.
  #batch(people) {
    const said = Array.from({ length: this.random.between(2, 4) }, () => {
      const person = this.random.of(people)
      const item = (person.sends + 2 > mostSends.whatsapp ? this._hook(person) : this.random.chance(0.7) ? this._echo(person) : this._many(person))[0]
      return { person, item }
    })
    const value = ({ person, item }) => ({
      contacts: [{ profile: { name: 'Ada Lovelace' }, wa_id: person.handle }],
      messages: [{ from: person.handle, id: item.id, timestamp: String(seconds()), type: 'text', text: { body: item.text } }],
    })
    return { source: 'whatsapp', id: 'batch.' + said[0].item.id, webhook: () => whatsapp.sign(whatsapp.envelope(...said.map(value))) }
  }

  #play() {
    const batched = this.people.slice(0, 3)
    const streams = [{ people: batched, acts: [] }, ...this.people.slice(3).map((person) => ({ people: [person], acts: [] }))]
    for (const stream of streams) {
      for (let count = this.random.between(4, 7); count > 0; count--) {
        const made = stream.people.length > 1 ? [this.#batch(stream.people)] : this.#act(stream.people[0])
        for (const act of made) {
          act.copies = this.random.choose({ none: 7, concurrent: 2, late: 2 })
          act.pause = this.random.between(0, 250)
          stream.acts.push(act)
        }
      }
    }
    this.streams = streams
    for (const person of this.people) if (person.channel === 'whatsapp' && this.random.chance(0.4)) this.surveys.push({ person, score: this.random.between(3, 5) })
  }
}
