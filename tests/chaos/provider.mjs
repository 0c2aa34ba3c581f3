// The providers' side for chaos rounds, made for its oracle: it writes down every request in the order of arrival, and what
// it does with a message is decided by the seed and the message's own text, whenever it comes and however often.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { meta, whatsapp } from '../e2e/support/providers.mjs'
import { Random } from './random.mjs'
import { account, page } from './traffic.mjs'

const tagged = /^([a-z]+ )?r(\d+)p\d+m\d+$/

// What becomes of the sends of one text: refusals first, then what happens to the one that is taken.
//   refusals   how many are refused as too early: nothing was done, it may be tried again
//   refused    it is refused for good
//   answer     ok | lost (the connection breaks) | cut (in the middle of the answer) | hang (until the sender gives up)
//   statuses   what is reported later, in that order; each twice where `twice`
export function planOf(seed, source, text, faulty) {
  const random = new Random(seed, source, text, 'provider')
  const statuses = tagged.test(text) ? random.choose({ all: 6, delivered: 2, none: 1, failed: 1 }) : 'all'
  const plan = {
    refusals: 0, refused: false, answer: 'ok', twice: random.chance(0.2),
    statuses: random.shuffle({ all: ['sent', 'delivered', 'read'], delivered: ['sent', 'delivered'], none: [], failed: ['sent', 'failed'] }[statuses]),
    together: random.chance(0.3),
    delays: [random.between(0, 60), random.between(0, 200), random.between(0, 400)],
  }
  if (!faulty || !tagged.test(text)) return plan
  const kind = random.choose({ fine: 14, refusals: 2, refused: 1, lost: 2, cut: 1, hang: 1 })
  if (kind === 'refusals') plan.refusals = 1
  else if (kind === 'refused' && source === 'hook') plan.refusals = 1 // an endpoint's 400 is tried again
  else if (kind === 'refused') plan.refused = true
  else if (kind !== 'fine') plan.answer = kind
  return plan
}

export class Provider {
  // `post(source, webhook)` brings a webhook to answerd, again and again until it is taken.
  constructor({ seed, post }) {
    this.seed = seed
    this.post = post
    this.faulty = false
    this.requests = [] // { number, source, to, text, echo, key, taken, answered, at, answeredAt, plan, id }
    this.posts = new Set() // status webhooks that are not taken yet
    this.posted = new Map() // id -> states that answerd was told and answered 200
    this.sockets = new Set()
    this.failures = []
  }

  async listen() {
    this.server = createServer((request, response) => this.#receive(request, response))
    this.server.keepAliveTimeout = 60000
    this.server.on('connection', (socket) => (this.sockets.add(socket), socket.on('close', () => this.sockets.delete(socket))))
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    this.url = `http://127.0.0.1:${this.server.address().port}`
  }

  async close() {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  async #receive(request, response) {
    const parts = []
    request.on('error', () => {})
    response.on('error', () => {})
    try {
      for await (const part of request) parts.push(part)
    } catch {
      return // a node that was killed while it sent: the provider has nothing of it
    }
    const body = JSON.parse(Buffer.concat(parts).toString() || 'null')
    const send = read(request.url, request.headers, body)
    if (!send) return void response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true,"result":true}')
    this.#take(send, response)
  }

  #take(send, response) {
    const before = this.requests.filter((other) => other.source === send.source && other.text === send.text && other.to === send.to)
    const plan = planOf(this.seed, send.source, send.text, this.faulty)
    const entry = { number: this.requests.length, at: Date.now(), taken: true, answered: false, plan, id: '', ...send }
    this.requests.push(entry)
    const refusedBefore = before.filter((other) => !other.taken).length
    if (plan.refused || refusedBefore < plan.refusals) {
      entry.taken = false
      return answer(entry, response, ...refusals[send.source](plan.refused))
    }
    entry.id = `${send.source === 'whatsapp' ? 'wamid.' : ''}${100000000 + entry.number}`
    this.#report(entry)
    // What was lost once arrives the second time: a second try must be able to end.
    const how = before.some((other) => other.taken) ? 'ok' : plan.answer
    if (how === 'lost') return void response.destroy()
    if (how === 'hang') return void setTimeout(() => response.destroy(), 10000).unref()
    if (how === 'cut') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4096 })
      return void response.write('{', () => response.destroy())
    }
    answer(entry, response, 200, accepted[send.source](entry))
  }

  #report(entry) {
    if (!reports[entry.source]) return
    const groups = entry.plan.together ? [entry.plan.statuses] : entry.plan.statuses.map((state) => [state])
    groups.filter((states) => states.length).forEach((states, turn) => {
      const webhook = reports[entry.source](entry, states)
      if (!webhook) return
      for (let copy = 0; copy < (entry.plan.twice ? 2 : 1); copy++) {
        const post = (async () => {
          await new Promise((done) => setTimeout(done, entry.plan.delays[turn] + copy * 20))
          await this.post(entry.source, webhook)
          if (!this.posted.has(entry.id)) this.posted.set(entry.id, new Set())
          for (const state of states) this.posted.get(entry.id).add(state)
        })()
        this.posts.add(post)
        // A post that fails is a finding of the round, which looks at the list.
        post.catch((error) => this.failures.push(error.message)).finally(() => this.posts.delete(post))
      }
    })
  }

  async quiet() {
    while (this.posts.size) await Promise.allSettled([...this.posts])
  }
}

function answer(entry, response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body), () => {
    entry.answered = true
    entry.answeredAt = Date.now()
  })
}

// --- what the requests look like -----------------------------------------------------------------------------------------

function read(url, headers, body) {
  const hook = /^\/hook\/(\w+)$/.exec(url)
  if (hook) return { source: 'hook', to: hook[1], text: body.data?.tag ?? body.tag ?? '', echo: headers['webhook-id'] }
  const bot = /^\/bot[^/]+\/(\w+)$/.exec(url)
  if (bot) return bot[1] === 'sendMessage' ? { source: 'telegram', to: String(body.chat_id), text: body.text, echo: null } : null
  const graph = /^\/v[\d.]+\/(\w+)\/messages$/.exec(url)
  if (!graph) return null
  if (body.messaging_product === 'whatsapp') {
    if (body.status) return null
    return { source: 'whatsapp', to: (body.to ?? body.recipient).replace('+', ''), text: body.text?.body ?? body.interactive?.body?.text ?? `template ${body.template?.name}`, echo: body.biz_opaque_callback_data }
  }
  return { source: graph[1] === page ? 'messenger' : 'instagram', to: body.recipient.id, text: body.message?.text ?? '', echo: body.message?.metadata }
}

const graphError = (code, message) => ({ error: { message, type: 'OAuthException', code } })
const ofMessenger = {
  refusal: (forGood) => (forGood ? [400, graphError(100, 'refused for good')] : [500, graphError(2, 'not now')]),
  report: (object, owner) => (entry, states) => (states.includes('delivered') ? meta.sign({
    object, entry: [{ id: owner, time: Date.now(), messaging: [{ sender: { id: entry.to }, recipient: { id: owner }, timestamp: Date.now(), delivery: { mids: [entry.id], watermark: entry.at } }] }],
  }) : null),
}
const refusals = {
  whatsapp: (forGood) => (forGood ? [400, graphError(131051, 'refused for good')] : [500, graphError(131000, 'not now')]),
  telegram: (forGood) => (forGood ? [400, { ok: false, error_code: 400, description: 'Bad Request: refused for good' }] : [429, { ok: false, error_code: 429, description: 'Too Many Requests', parameters: { retry_after: 1 } }]),
  messenger: ofMessenger.refusal,
  instagram: ofMessenger.refusal,
  hook: () => [500, {}],
}
const accepted = {
  whatsapp: (entry) => ({ messaging_product: 'whatsapp', contacts: [{ input: '+' + entry.to, wa_id: entry.to }], messages: [{ id: entry.id }] }),
  telegram: (entry) => ({ ok: true, result: { message_id: Number(entry.id), date: Math.floor(Date.now() / 1000), chat: { id: Number(entry.to), type: 'private' } } }),
  messenger: (entry) => ({ recipient_id: entry.to, message_id: entry.id }),
  instagram: (entry) => ({ recipient_id: entry.to, message_id: entry.id }),
  hook: () => ({ ok: true }),
}
const reports = {
  whatsapp: (entry, states) => whatsapp.sign(whatsapp.envelope({
    statuses: states.map((state) => ({
      id: entry.id, status: state, timestamp: String(Math.floor(Date.now() / 1000)), recipient_id: entry.to, biz_opaque_callback_data: entry.echo,
      ...(state === 'failed' ? { errors: [{ code: 131000, title: 'Something went wrong' }] } : {}),
    })),
  })),
  messenger: ofMessenger.report('page', page),
  instagram: ofMessenger.report('instagram', account),
}
