// The API: every answer is as openapi.json describes it, and what an agent does has the same consequences as a rule.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { answerSchema, operationOf, violations } from './support/schema.mjs'
import { System, run, until } from './support/system.mjs'

let system
let description
let tokens
let conversation
const called = new Set()

before(async () => {
  system = await System.start({
    rules: null,
    files: {
      'desk.lua': `
template "greeting" { category = "utility", text = "Hello {{name}}" }
survey "csat" { question = "How was it?", scale = 5 }
rule {
  name = "desk", doc = "Opens a conversation.", on = { "message.received" },
  run = function(e, fx) fx:open_conversation { topic = "support" } end,
}
rule {
  name = "watch", doc = "Sees what agents do.", on = { "conversation.tagged", "conversation.prioritized", "conversation.resolved", "custom.order_shipped" },
  run = function(e, fx) fx:emit("seen", { type = e.type }) end,
}
`,
    },
  })
  tokens = Object.fromEntries(await Promise.all([['all', 'read,write,admin'], ['reader', 'read'], ['writer', 'write']].map(async ([name, scopes]) => {
    const made = await run(['token', 'create', '--name', name, '--scopes', scopes, '--config', system.config], { env: system.environment() })
    return [name, /ans_[A-Za-z0-9_-]+/.exec(made.stdout)[0]]
  })))
  description = await (await fetch(`${system.admin}/api/v1/openapi.json`)).json()
  await system.post('whatsapp', whatsapp.message('15550177', 'hello', { id: 'wamid.api.1' }))
  conversation = await until('the conversation', () => system.value('SELECT id::text FROM conversation'))
})
after(() => system?.stop())

// Calls and holds the answer to the description.
async function call(method, path, { body, token = tokens.all, headers = {} } = {}) {
  const response = await fetch(`${system.admin}/api/v1${path}`, {
    method,
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    body: method === 'POST' ? (body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)) : undefined,
  })
  const answer = await response.json()
  const operation = operationOf(description, method, path)
  if (operation) {
    const schema = answerSchema(description, operation, response.status)
    assert.ok(schema, `${method} ${path} answers ${response.status}, which is not described: ${JSON.stringify(answer)}`)
    assert.deepEqual(violations(description, schema, answer), [], `${method} ${path} ${response.status}`)
    if (response.status < 300) called.add(operation.operationId)
  }
  return { status: response.status, answer, headers: response.headers }
}

const act = (verb, body, options) => call('POST', `/conversations/${conversation}/${verb}`, { body, ...options })

test('without a token there is nothing but the description', async () => {
  for (const [method, path] of [['GET', '/conversations'], ['GET', `/conversations/${conversation}`], ['POST', '/events'], ['POST', '/reload']]) {
    for (const token of [null, 'ans_wrong', '']) {
      const { status, headers } = await call(method, path, { token })
      assert.equal(status, 401)
      assert.equal(headers.get('www-authenticate'), 'Bearer')
    }
  }
  assert.equal(await system.value('SELECT count(*)::int FROM event WHERE source = \'api\''), 0)
})

test('a path that is there says which method it wants', async () => {
  const { status, headers } = await call('DELETE', '/conversations')
  assert.equal(status, 405)
  assert.equal(headers.get('allow'), 'GET')
})

test('a token can do what its scopes say', async () => {
  assert.equal((await call('GET', '/conversations', { token: tokens.reader })).status, 200)
  assert.equal((await act('note', { text: 'no' }, { token: tokens.reader })).status, 403)
  assert.equal((await call('GET', '/conversations', { token: tokens.writer })).status, 403)
  assert.equal((await call('POST', '/reload', { token: tokens.writer })).status, 403)
})

test('each call wants the scope that its description names', async () => {
  const scopesOf = { reader: ['read'], writer: ['write'] }
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of ['get', 'post'].filter((method) => item[method]?.['x-scope'])) {
      const scope = item[method]['x-scope']
      for (const [token, scopes] of Object.entries(scopesOf).filter(([, scopes]) => !scopes.includes(scope))) {
        const { status, answer } = await call(method.toUpperCase(), path.replaceAll(/\{[a-z_]+\}/g, '1'), { token: tokens[token] })
        assert.deepEqual([status, answer.error.code], [403, 'missing_scope'], `${method} ${path} with ${scopes}`)
      }
    }
  }
})

test('a revoked token is refused at once', async () => {
  const made = await run(['token', 'create', '--name', 'brief', '--config', system.config], { env: system.environment() })
  const token = /ans_[A-Za-z0-9_-]+/.exec(made.stdout)[0]
  assert.equal((await call('GET', '/conversations', { token })).status, 200)
  const id = await system.value(`SELECT id::text FROM api_token WHERE name = 'brief'`)
  assert.equal((await run(['token', 'revoke', id, '--config', system.config], { env: system.environment() })).code, 0)
  assert.equal((await call('GET', '/conversations', { token })).status, 401)
})

test('a conversation shows its contact and its messages', async () => {
  const { answer } = await call('GET', `/conversations/${conversation}`)
  assert.equal(answer.contact.identities.includes('whatsapp:15550177'), true)
  assert.deepEqual(answer.messages.map((message) => [message.direction, message.text]), [['in', 'hello']])
  const contact = await call('GET', `/contacts/${answer.contact.id}`)
  assert.equal(contact.answer.conversations[0].id, answer.id)
  assert.equal((await call('GET', '/conversations/1')).status, 404)
  assert.equal((await call('GET', '/contacts/1')).status, 404)
})

test('who was merged into another contact is found by both numbers, with what was resolved long ago', async () => {
  const number = '15550179', userId = 'US.179'
  const says = (text, id, { contact, message }) => whatsapp.sign(whatsapp.envelope({
    contacts: [{ profile: { name: 'Ada' }, ...contact }],
    messages: [{ id, timestamp: String(Math.floor(Date.now() / 1000)), type: 'text', text: { body: text }, ...message }],
  }))
  const contactOf = (identity) => until('the contact', () => system.value('SELECT contact_id::text FROM identity WHERE identity = $1', [identity]))
  await system.post('whatsapp', whatsapp.message(number, 'with a number', { id: 'wamid.merge.1' }))
  const survivor = await contactOf(`whatsapp:${number}`)
  await system.post('whatsapp', says('without a number', 'wamid.merge.2', { contact: { user_id: userId }, message: { from_user_id: userId } }))
  const merged = await contactOf(`whatsapp:${userId}`)
  await system.untilSql('both conversations', `SELECT count(*) = 2 FROM conversation WHERE contact_id IN (${survivor}, ${merged})`)
  const longAgo = await system.value(`INSERT INTO conversation (id, contact_id, topic, state, opened_at, updated_at, resolved_at)
    SELECT 999, ${merged}, 'billing', 'resolved', at, at, at FROM (SELECT now() - interval '90 days') AS x (at) RETURNING id::text`)
  await system.post('whatsapp', says('with both', 'wamid.merge.3', { contact: { wa_id: number, user_id: userId }, message: { from: number, from_user_id: userId } }))
  await system.untilSql('the merge', `SELECT merged_into = ${survivor} FROM contact WHERE id = ${merged}`)
  const all = (await system.rows(`SELECT id::text FROM conversation WHERE contact_id IN (${survivor}, ${merged}) ORDER BY updated_at DESC, id DESC`)).map(({ id }) => id)
  assert.equal(all.length, 3)
  for (const id of [survivor, merged]) {
    const list = (await call('GET', `/conversations?contact=${id}`)).answer.conversations
    assert.deepEqual(list.map((row) => [String(row.id), String(row.contact_id)]), all.map((row) => [row, survivor]), `the list of ${id}`)
    const contact = await call('GET', `/contacts/${id}`)
    assert.equal(String(contact.answer.id), survivor)
    assert.deepEqual([...contact.answer.identities].sort(), [`phone:${number}`, `whatsapp:${number}`, `whatsapp:${userId}`])
    assert.deepEqual(contact.answer.conversations.map((row) => String(row.id)), all)
  }
  assert.equal(String((await call('GET', `/conversations/${longAgo}`)).answer.contact.id), survivor)
  assert.deepEqual((await call('GET', '/conversations?contact=1')).answer.conversations, [])
  const noted = await call('POST', `/conversations/${longAgo}/note`, { body: { text: 'looked at again' } })
  assert.deepEqual([noted.status, noted.answer.conversation?.messages.map(({ text }) => text)], [200, ['looked at again']])
})

test('a reply of an agent leaves, once, with the agent as its author', async () => {
  const first = await act('reply', { text: 'We are on it', agent: 'ann' }, { headers: { 'idempotency-key': 'reply-1' } })
  const again = await act('reply', { text: 'We are on it', agent: 'ann' }, { headers: { 'idempotency-key': 'reply-1' } })
  assert.deepEqual([first.status, again.status, again.answer.event], [200, 200, first.answer.event])
  const other = await act('reply', { text: 'Something else', agent: 'ann' }, { headers: { 'idempotency-key': 'reply-1' } })
  assert.deepEqual([other.status, other.answer.error.code], [422, 'key_reused'], 'a reply that would be lost is not said to have left')
  assert.match(other.answer.error.message, new RegExp(`event ${first.answer.event}; nothing was done`))
  await until('the message at the provider', async () => (await system.sent()).some((entry) => entry.body.text?.body === 'We are on it'))
  const rows = await system.rows(`SELECT author, text FROM message WHERE direction = 'out'`)
  assert.deepEqual(rows, [{ author: 'agent:ann', text: 'We are on it' }])
  assert.equal((await act('reply', { template: 'greeting', vars: { name: 'Ada' } })).status, 200)
  assert.equal((await act('reply', { template: 'nothing' })).status, 422)
  assert.equal((await act('reply', {})).status, 400)
  assert.equal((await act('reply', { text: 'a', template: 'b' })).status, 400)
})

test('a reply quotes a message of its own conversation, and no other', async () => {
  await system.post('whatsapp', whatsapp.message('15550178', 'somebody else writes', { id: 'wamid.api.2' }))
  await system.untilSql('the other conversation', `SELECT EXISTS (SELECT FROM message WHERE provider_message_id = 'wamid.api.2' AND conversation_id IS NOT NULL)`)
  for (const quoted of ['wamid.api.2', 'wamid.nowhere']) {
    const refused = await act('reply', { text: 'about that', reply_to: quoted })
    assert.deepEqual([refused.status, refused.answer.error?.code], [422, 'not_in_conversation'], quoted)
    assert.match(refused.answer.error.message, new RegExp(`conversation ${conversation} has no message '${quoted}'`))
    assert.match(refused.answer.error.hint, /provider_message_id/)
  }
  for (const quoted of [7, '']) assert.equal((await act('reply', { text: 'about that', reply_to: quoted })).status, 400, String(quoted))
  assert.equal(await system.value(`SELECT count(*)::int FROM message WHERE text = 'about that'`), 0)
  assert.equal((await act('reply', { text: 'about this', reply_to: 'wamid.api.1' })).status, 200)
  const sent = await until('the reply', async () => (await system.sent()).find((entry) => entry.body.text?.body === 'about this'))
  assert.deepEqual(sent.body.context, { message_id: 'wamid.api.1' })

  // The conversation goes on by a channel that knows no such message and would refuse the reply.
  await system.rows(`UPDATE message SET source = 'elsewhere' WHERE provider_message_id = 'wamid.api.1'`)
  assert.equal((await act('reply', { text: 'about what was said elsewhere', reply_to: 'wamid.api.1' })).status, 200)
  const plain = await until('the reply', async () => (await system.sent()).find((entry) => entry.body.text?.body === 'about what was said elsewhere'))
  assert.equal(plain.body.context, undefined)
  await system.rows(`UPDATE message SET source = 'whatsapp' WHERE provider_message_id = 'wamid.api.1'`)
})

test('what an agent does raises the events of a rule', async () => {
  assert.equal((await act('note', { text: 'called them' })).status, 200)
  const tagged = await act('tag', { tag: 'vip' })
  assert.deepEqual(tagged.answer.conversation.tags, ['vip'])
  assert.deepEqual((await act('untag', { tag: 'vip' })).answer.conversation.tags, [])
  assert.equal((await act('assign', { assignee: 'ann' })).answer.conversation.assignee, 'ann')
  assert.equal((await act('assign', { assignee: null })).answer.conversation.assignee, null)
  assert.equal((await act('prioritize', { priority: 'urgent' })).answer.conversation.priority, 'urgent')
  const unknown = await act('prioritize', { priority: 'top' })
  assert.equal(unknown.status, 422)
  assert.match(unknown.answer.error.message, /there is no priority 'top'/)
  assert.equal((await act('prioritize', {})).status, 400)
  assert.equal((await act('snooze', { for: '2h' })).answer.conversation.state, 'snoozed')
  assert.equal((await act('snooze', { until: new Date(Date.now() + 3600000).toISOString() })).status, 200)
  assert.equal((await act('resolve')).answer.conversation.state, 'resolved')
  assert.equal((await act('survey', { survey: 'csat' })).status, 200)
  assert.equal((await act('survey', { survey: 'nothing' })).status, 422)
  await system.untilSql('the rule to see them', `SELECT count(*) = 3 FROM event WHERE type = 'custom.seen' AND doc #>> '{body,type}' IN ('conversation.tagged', 'conversation.prioritized', 'conversation.resolved')`)
})

test('a parameter that there is not is named, with those that there are', async () => {
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (!['get', 'post'].includes(method)) continue
      const said = await call(method.toUpperCase(), `${path.replace('{id}', '1').replace('{name}', 'x')}?stat=open`)
      assert.equal(said.status, 400, `${method} ${path}: ${JSON.stringify(said.answer)}`)
      assert.equal(said.answer.error.code, 'unknown_parameter')
      assert.match(said.answer.error.message, /'stat'/)
      const known = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query').map(({ name }) => name)
      const listed = /there are (.*)/.exec(said.answer.error.hint)?.[1].split(/, | and /) ?? []
      assert.deepEqual(listed, known, `${method} ${path}`)
    }
  }
  assert.match((await call('GET', '/conversations?stat=open')).answer.error.hint, /did you mean 'state'/)
  assert.equal((await call('GET', '/conversations?%ff=1')).status, 400)
})

test('a filter that cannot be read is refused, and not left out', async () => {
  for (const query of ['state=%zz', 'state=open%', 'state=%00', 'limit=1&stat%=open', `${'limit=1&'.repeat(32)}state=open`]) {
    const said = await call('GET', `/conversations?${query}`)
    assert.equal(said.status, 400, `${query}: ${JSON.stringify(said.answer)}`)
    assert.equal(said.answer.error.code, 'bad_query', query)
    assert.match(said.answer.error.message, /the query cannot be read: (there are too many parameters|a parameter is escaped wrongly)/)
  }
  assert.equal((await call('GET', `/conversations?${'limit=1&'.repeat(31)}state=open`)).status, 200)
})

test('mistakes are named', async () => {
  const misspelt = await act('note', { txt: 'x' })
  assert.equal(misspelt.status, 400)
  assert.match(misspelt.answer.error.hint, /'text'/)
  assert.equal((await act('note', '{"text":')).status, 400)
  assert.equal((await act('note', '[]')).status, 400)
  assert.equal((await act('snooze', { for: 'soon' })).status, 400)
  assert.equal((await act('dance', {})).status, 404)
  assert.equal((await call('POST', '/conversations/1/note', { body: { text: 'x' } })).status, 404)
  for (const query of ['limit=0', 'limit=x', 'limit=1000', 'state=none', 'cursor=zz', 'contact=-1']) {
    assert.equal((await call('GET', `/conversations?${query}`)).status, 400, query)
  }
})

test('a custom event is handled once for each key', async () => {
  const event = { name: 'order_shipped', body: { order: 7 }, contact: { whatsapp: '15550177' }, key: 'order-7' }
  const first = await call('POST', '/events', { body: { ...event, wait: true } })
  assert.deepEqual([first.status, first.answer.state], [200, 'handled'])
  const again = await call('POST', '/events', { body: event })
  assert.equal(again.answer.event, first.answer.event)
  const { answer } = await call('GET', `/events/${first.answer.event}`)
  assert.deepEqual([answer.type, answer.traces.some((trace) => trace.rule === 'watch' && trace.verdict === 'ran')], ['custom.order_shipped', true])
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE type = 'custom.order_shipped'`), 1)
  assert.equal((await call('POST', '/events', { body: { name: 'has space' } })).status, 400)
  assert.equal((await call('POST', '/events', { body: { name: 'x', contact: {} } })).status, 400)
})

test('an Idempotency-Key that comes with another event is refused: what would be lost is not said to be known', async () => {
  const event = { name: 'order_refunded', body: { order: 8 }, contact: { whatsapp: '15550177' } }
  const post = (changed, key = 'refund-8') => call('POST', '/events', { body: { ...event, ...changed }, headers: { 'idempotency-key': key } })
  const first = await post({})
  const again = await post({ contact: 'whatsapp:+1 555 0177' })
  assert.deepEqual([first.status, again.status, again.answer.event], [202, 202, first.answer.event], 'the same, written in another way')
  for (const changed of [{ name: 'order_lost' }, { body: { order: 9 } }, { contact: { whatsapp: '15550188' } }, { contact: undefined }, { conversation: Number(conversation) }]) {
    const { status, answer } = await post(changed)
    assert.deepEqual([status, answer.error?.code], [422, 'key_reused'], JSON.stringify(changed))
  }
  assert.equal((await post({ contact: undefined }, 'refund-of-nobody')).status, 202)
  assert.equal((await post({}, 'refund-of-nobody')).status, 422)
  assert.equal(await system.value(`SELECT count(*)::int FROM event WHERE type = 'custom.order_refunded'`), 2)
})

test('an Idempotency-Key is that of one token on one path', async () => {
  const pack = (token, path = '/events', key = 'packed-1') => call('POST', path, { body: { name: 'order_packed', body: { order: 1 } }, token, headers: { 'idempotency-key': key } })
  const first = await pack(tokens.all)
  const other = await pack(tokens.writer)
  assert.deepEqual([first.status, other.status], [202, 202])
  assert.notEqual(other.answer.event, first.answer.event, 'two programs may count alike')
  assert.equal((await pack(tokens.writer)).answer.event, other.answer.event)
  const note = await act('note', { text: 'packed' }, { headers: { 'idempotency-key': 'packed-1' } })
  const tag = await act('tag', { tag: 'packed' }, { headers: { 'idempotency-key': 'packed-1' } })
  assert.deepEqual([note.status, tag.status], [200, 200])
  assert.equal(new Set([first, other, note, tag].map(({ answer }) => answer.event)).size, 4)
  assert.equal((await pack(tokens.all, '/events', 'k'.repeat(200))).status, 202)
  const long = await pack(tokens.all, '/events', 'k'.repeat(201))
  assert.deepEqual([long.status, long.answer.error.code], [400, 'too_long'])
})

test('what is reported of a person waits in their lane, whoever reports it', async () => {
  const lanesOf = async (ids) => (await system.rows('SELECT DISTINCT lane FROM event WHERE id = ANY ($1)', [ids])).map(({ lane }) => lane)
  const lane = await system.value(`SELECT p.lane FROM contact AS p JOIN conversation AS c ON c.contact_id = p.id WHERE c.id = $1`, [conversation])
  const reported = await Promise.all([
    call('POST', '/events', { body: { name: 'lane', contact: { whatsapp: '15550177' } } }),
    call('POST', '/events', { body: { name: 'lane', conversation: Number(conversation) } }),
    act('note', { text: 'in the lane' }),
  ])
  assert.deepEqual(await lanesOf(reported.map(({ answer }) => answer.event)), [lane])
  const nobodys = await call('POST', '/events', { body: { name: 'lane' } })
  assert.notDeepEqual(await lanesOf([nobodys.answer.event]), [lane])
})

test('handles may be written in any way: they mean the same person', async () => {
  const identities = async (contact) => {
    const { status, answer } = await call('POST', '/events', { body: { name: 'seen_somewhere', contact, wait: true } })
    assert.equal(status, 200, JSON.stringify(answer))
    return system.value(`SELECT doc #> '{contact,identities}' FROM event WHERE id = $1`, [answer.event])
  }
  assert.deepEqual(await identities({ email: ' Ada@Example.COM ', phone: '+1 (666) 020-0001', telegram: 4242, stripe: 'cus_A' }),
    ['telegram:4242', 'phone:16660200001', 'email:ada@example.com', 'stripe:cus_A'])
  assert.deepEqual(await identities(['phone:0041 79 123 45 67', 'whatsapp:+41 (0)79 123 45 67']), ['phone:41791234567', 'whatsapp:41791234567'])
  assert.deepEqual(await identities({ whatsapp: 'US.13abC' }), ['whatsapp:US.13abC'])
  assert.deepEqual(await identities('WhatsApp:+1 555 0177'), ['whatsapp:15550177'])
  assert.deepEqual(await identities(['phone:+1 666 020 0001', 'email:ada@example.com']), ['phone:16660200001', 'email:ada@example.com'])
  assert.deepEqual(await identities({ identities: ['email:ADA@example.com', 'crm:4711'], phone: '', telegram: null }), ['email:ada@example.com', 'crm:4711'])
  assert.equal(await system.value(`SELECT count(DISTINCT contact_id)::int FROM event_log WHERE type = 'custom.seen_somewhere' AND doc #>> '{contact,identities}' LIKE '%ada@%'`), 1)
  for (const contact of ['ada', '', ':x', 'email:', 5, [], { email: ' ' }, { phone: 'none' }, { identities: [] }])
    assert.equal((await call('POST', '/events', { body: { name: 'x', contact } })).status, 400, JSON.stringify(contact))
  assert.equal((await call('POST', '/events', { body: { name: 'x', occurred_at: 'yesterday' } })).status, 400)
})

test('what cannot be a handle, or has no name that is known, is refused and not lost', async () => {
  const said = async (contact) => {
    const { status, answer } = await call('POST', '/events', { body: { name: 'x', contact } })
    assert.equal(status, 400, `${JSON.stringify(contact)}: ${JSON.stringify(answer)}`)
    return answer.error
  }
  const many = ['email:ada@example.com']
  for (const contact of [{ whatsapp: 'x y' }, { phone: 'call 15550100' }, { phone: '+' }, { phone: '079 123 45 67' }, { telegram: '@ada' }, { messenger: 'ada' },
    { instagram: 4.5 }, { email: 'ada' }, { email: '@example.com' }, { email: 'Ada <ada@example.com>' }, { email: true }, { stripe: 'cus A' },
    'whatsapp:ada', 'email:ada', 'crm:a b', ['email:ada@example.com', 'nothing'], { identities: [...many, 7] }, { identities: many[0] },
    { identities: many, name: 5 }, { identities: many, language: [] }, { email: `${'a'.repeat(200)}@example.com` }]) {
    assert.ok((await said(contact)).message, JSON.stringify(contact))
  }
  assert.deepEqual(await said({ whatsapp: 'x y' }), { code: 'invalid', message: "'contact.whatsapp' is not a handle of the kind whatsapp", hint: 'WhatsApp knows people by a number, as in "+1 555 0100", or an id, as in "US.1349"' })
  const misspelt = await said({ email: 'ada@example.com', whatsap: '15550177' })
  assert.deepEqual([misspelt.code, misspelt.message, misspelt.hint], ['unknown_field', "unknown field 'contact.whatsap'", "did you mean 'whatsapp'"])
  assert.match((await said({ email: 'ada@example.com', paddle: 'ctm_1' })).hint, /identities/)
})

test('a field of another type is refused, and not taken for one that is not there', async () => {
  const long = 'ä'.repeat(101)
  for (const field of [{ key: 7 }, { key: '' }, { key: 'k'.repeat(501) }, { conversation: 'the first' }, { conversation: 0 }, { conversation: 1.5 }, { wait: 'yes' }, { occurred_at: 5 }]) {
    const { status, answer } = await call('POST', '/events', { body: { name: 'x', ...field } })
    assert.equal(status, 400, `${JSON.stringify(field)}: ${JSON.stringify(answer)}`)
  }
  for (const field of [{ conversation: String(conversation) }, { conversation: null, key: null, wait: null }])
    assert.equal((await call('POST', '/events', { body: { name: 'x', ...field } })).status, 202, JSON.stringify(field))
  for (const agent of [5, '', long]) assert.equal((await act('note', { text: 'x', agent })).status, 400, JSON.stringify(agent))
  assert.equal((await act('note', { text: 'x', agent: long.slice(1) })).status, 200)
  assert.equal((await act('snooze', { for: 5, until: '2030-01-01T00:00:00Z' })).status, 400)
  assert.equal((await act('snooze', { for: '2h', until: '2030-01-01T00:00:00Z' })).status, 400)
  for (const path of ['/events/1/retry', '/deliveries/1/retry', '/sources/whatsapp/resume', '/reload'])
    assert.deepEqual((await call('POST', path, { body: { force: true } })).answer.error?.code, 'unknown_field', path)
})

test('pages follow each other without gap or double', async () => {
  for (let number = 0; number < 7; number++) {
    await system.post('whatsapp', whatsapp.message(`1666010${number}`, 'hi', { id: `wamid.page.${number}` }))
  }
  await system.untilSql('the conversations', `SELECT count(*) = 7 FROM conversation WHERE identity LIKE 'whatsapp:1666010%'`)
  const all = await system.value('SELECT count(*)::int FROM conversation')
  const seen = []
  for (let cursor = ''; cursor !== null; ) {
    const { answer } = await call('GET', `/conversations?limit=3${cursor && `&cursor=${cursor}`}`)
    seen.push(...answer.conversations.map((row) => row.id))
    cursor = answer.next
  }
  assert.equal(seen.length, all)
  assert.equal(new Set(seen).size, all)
  assert.deepEqual((await call('GET', '/conversations?state=resolved')).answer.conversations.map(({ id }) => String(id)),
    (await system.rows(`SELECT id::text FROM conversation WHERE state = 'resolved' ORDER BY updated_at DESC`)).map(({ id }) => id))
})

test('what failed can be tried again', async () => {
  await system.faults({ source: 'whatsapp', kind: 'refuse', code: 131026, times: 1 })
  const id = await system.value(`SELECT c.id::text FROM conversation c WHERE c.state = 'open' LIMIT 1`)
  await call('POST', `/conversations/${id}/reply`, { body: { text: 'unlucky' } })
  const delivery = await until('the failure', () => system.value(`SELECT d.id::text FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.text = 'unlucky' AND d.state = 'failed'`))
  // What the failure means is handled by then; later it would count against the second try.
  await system.untilSql('all work to be done', 'SELECT NOT EXISTS (SELECT FROM work)')
  await system.rows('UPDATE address SET unreachable_at = NULL')
  assert.equal((await call('POST', `/deliveries/${delivery}/retry`)).status, 200)
  await system.untilSql('the second try', `SELECT EXISTS (SELECT FROM delivery WHERE id = ${delivery} AND state = 'sent')`)
  assert.equal((await call('POST', `/deliveries/${delivery}/retry`)).status, 409)
  assert.equal((await call('POST', '/deliveries/1/retry')).status, 404)
})

test('an event that the database refuses is parked, blocks nobody, and can be tried again', async () => {
  await system.rows(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.text = 'poison' THEN RAISE EXCEPTION 'no such text'; END IF; RETURN NEW; END $$`)
  await system.rows('CREATE TRIGGER refuse BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION refuse()')
  await Promise.all(['fine one', 'poison', 'fine two'].map((text, number) =>
    system.post('whatsapp', whatsapp.message(`1777010${number}`, text, { id: `wamid.poison.${number}` }))))
  await system.untilSql('the neighbours', `SELECT count(*) = 2 FROM message WHERE text LIKE 'fine %'`)
  const event = await until('the parked event', () => system.value('SELECT event_id::text FROM parked_event'), 60000)
  assert.equal((await call('GET', `/events/${event}`)).answer.state, 'parked')
  await system.rows('DROP TRIGGER refuse ON message')
  assert.equal((await call('POST', `/events/${event}/retry`)).status, 200)
  await system.untilSql('the retry', `SELECT EXISTS (SELECT FROM message WHERE text = 'poison')`)
  assert.equal((await call('POST', `/events/${event}/retry`)).status, 404)
})

test('rules that do not load leave the running ones in place', async () => {
  const before = (await call('POST', '/reload')).answer.version
  system.writeRule('broken.lua', 'rule { name = ')
  const refused = await call('POST', '/reload')
  assert.equal(refused.status, 422)
  assert.match(refused.answer.error.message, /broken\.lua:1/)
  system.writeRule('broken.lua', 'rule { name = "more", doc = "More.", on = { "custom.more" }, run = function(e, fx) fx:emit("less", {}) end }')
  const { answer } = await call('POST', '/reload')
  assert.notEqual(answer.version, before)
  await call('POST', '/events', { body: { name: 'more', wait: true } })
  await system.untilSql('the new rule', `SELECT EXISTS (SELECT FROM event WHERE type = 'custom.less')`)
})

test('a paused source resumes', async () => {
  await system.rows(`INSERT INTO source_pace (source, paused_until) VALUES ('whatsapp', now() + interval '1 hour')
    ON CONFLICT (source) DO UPDATE SET paused_until = excluded.paused_until`)
  assert.equal((await call('POST', '/sources/whatsapp/resume')).status, 200)
  assert.equal((await call('POST', '/sources/whatsapp/resume')).status, 404)
})

test('every call that is described was made', () => {
  const all = Object.values(description.paths).flatMap((item) => ['get', 'post'].flatMap((method) => item[method]?.operationId ?? []))
  assert.deepEqual(all.filter((name) => !called.has(name) && name !== 'getDescription'), [])
})
