// Where outgoing webhooks may not go, what must not be found anywhere, and what forgeries must not cost.

import assert from 'node:assert/strict'
import { createHmac, randomUUID } from 'node:crypto'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { stripe, support, telegram, whatsapp } from './support/providers.mjs'
import { program, secrets, System, until } from './support/system.mjs'

const endpointSecret = 'whsec_' + Buffer.from('the secret of our outgoing endpoint').toString('base64')
const requests = []
let receiver
let port

before(async () => {
  receiver = createServer((request, response) => {
    requests.push(request.url)
    request.resume()
    if (request.url.startsWith('/redirect')) response.writeHead(307, { location: `http://127.0.0.1:${port}/followed` }).end()
    else response.writeHead(200).end()
  })
  receiver.listen(0)
  await once(receiver, 'listening')
  port = receiver.address().port
})
after(() => receiver?.close())

process.env.ANSWERD_TEST_ENDPOINT_SECRET = endpointSecret
const tell = (endpoints) => `
${Object.entries(endpoints).map(([name, url]) => `endpoint "${name}" { url = "${url}", secret = env "ANSWERD_TEST_ENDPOINT_SECRET" }`).join('\n')}
rule {
  name = "tell", doc = "Tells every endpoint.", on = { "message.received" },
  run = function(e, fx)
    ${Object.keys(endpoints).map((name) => `fx:webhook("${name}", { said = e.message.text })`).join('\n    ')}
  end,
}
`

test('an outgoing webhook reaches no private address, however it is written', async () => {
  const endpoints = {
    loopback: `http://127.0.0.1:${port}/x`,
    short: `http://127.1:${port}/x`,
    decimal: `http://2130706433:${port}/x`,
    hexadecimal: `http://0x7f000001:${port}/x`,
    octal: `http://0177.0.0.1:${port}/x`,
    any: `http://0.0.0.0:${port}/x`,
    name: `http://localhost:${port}/x`,
    ipv6: `http://[::1]:${port}/x`,
    mapped: `http://[::ffff:127.0.0.1]:${port}/x`,
    mapped_hexadecimal: `http://[::ffff:7f00:1]:${port}/x`,
    metadata: 'http://169.254.169.254/latest/meta-data/',
    private: `http://10.0.0.1:${port}/x`,
    user: `http://example.com@127.0.0.1:${port}/x`,
  }
  const system = await System.start({ rules: null, allowPrivateAddresses: false, files: { 'tell.lua': tell(endpoints) } })
  try {
    await system.post('telegram', telegram.message(1, 'hello'))
    const count = Object.keys(endpoints).length
    await until('all attempts', async () => (await system.value('SELECT count(DISTINCT delivery_id)::int FROM attempt')) === count)
    const rows = await system.rows(`SELECT d.endpoint, d.state, a.reason FROM delivery d JOIN attempt a ON a.delivery_id = d.id`)
    for (const { endpoint, state, reason } of rows) {
      assert.notEqual(state, 'sent', endpoint)
      assert.match(reason, /the address is not public|resolve|connect/i, endpoint)
    }
    for (const certain of ['loopback', 'name', 'ipv6', 'mapped', 'metadata'])
      assert.match(rows.find((row) => row.endpoint === certain).reason, /the address is not public\nHINT: deliver { allowed_networks = /, certain)
    assert.match(await system.value(`SELECT reason FROM delivery_log WHERE endpoint = 'loopback'`), /allowed_networks/)
    assert.deepEqual(requests, [])
  } finally {
    await system.stop()
  }
})

test('a private network that the configuration names may be called, and no other', async () => {
  const endpoints = { inside: `http://127.0.0.5:${port}/inside`, mapped: `http://[::ffff:127.0.0.5]:${port}/mapped`, outside: `http://127.0.0.6:${port}/outside` }
  const system = await System.start({
    rules: null, allowPrivateAddresses: false, deliverSettings: 'allowed_networks = { "127.0.0.4/31", "10.9.0.0/16" }', files: { 'tell.lua': tell(endpoints) },
  })
  try {
    await system.post('telegram', telegram.message(1, 'hello'))
    await until('all attempts', async () => (await system.value('SELECT count(DISTINCT delivery_id)::int FROM attempt')) === 3)
    const states = Object.fromEntries((await system.rows('SELECT endpoint, state FROM delivery')).map((row) => [row.endpoint, row.state]))
    assert.equal(states.inside, 'sent')
    assert.equal(states.mapped, 'sent')
    assert.notEqual(states.outside, 'sent')
    assert.deepEqual(requests.filter((url) => /side|mapped/.test(url)).sort(), ['/inside', '/mapped'])
  } finally {
    await system.stop()
  }
})

test('a redirect is not followed', async () => {
  const system = await System.start({ rules: null, files: { 'tell.lua': tell({ redirecting: `http://127.0.0.1:${port}/redirect` }) } })
  try {
    await system.post('telegram', telegram.message(1, 'hello'))
    await system.untilSql('the attempt', 'SELECT 1 FROM attempt')
    assert.match(await system.value('SELECT reason FROM attempt'), /307/)
    assert.ok(requests.includes('/redirect'))
    assert.ok(!requests.includes('/followed'))
  } finally {
    await system.stop()
  }
})

// Every text of every table that somebody could read, as one text. Raw webhooks are what senders wrote; headers are not.
async function everythingStored(system) {
  const tables = await system.rows(`SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r'`)
  let all = ''
  for (const { name } of tables) for (const { row } of await system.rows(`SELECT t::text AS row FROM ${name} AS t`)) all += row + '\n'
  return all
}

test('no secret is in a log, in the metrics, in an answer or in a table', async () => {
  const system = await System.start({ config: 'log { level = "debug" }', files: { 'tell_all.lua': tell({ crm: `http://127.0.0.1:${port}/x` }).replace('name = "tell"', 'name = "tell-all"') } })
  try {
    await system.faults({ source: 'whatsapp', kind: 'rate_limit', times: 1 })
    await system.faults({ source: 'telegram', kind: 'drop_answer', times: 1 })
    await system.post('whatsapp', whatsapp.message('15559200001', 'hello'))
    await system.post('telegram', telegram.message(77, 'hello'))
    await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_secret', phone: '15559200001' })))
    await system.post('support', support.sign({ type: 'ticket.created', data: { id: 1 } }))
    // What is nearly right, and what carries a secret where it does not belong.
    await system.post('telegram', { body: '{}', headers: { 'x-telegram-bot-api-secret-token': secrets.TELEGRAM_SECRET_TOKEN + 'x' } })
    const update = telegram.message(78, 'twice')
    await system.post('telegram', { body: update.body, headers: { ...update.headers, authorization: 'Bearer ' + secrets.WHATSAPP_ACCESS_TOKEN, 'x-note': 'token ' + secrets.TELEGRAM_SECRET_TOKEN } })
    await fetch(`${system.url}/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token=${secrets.WHATSAPP_VERIFY_TOKEN}&hub.challenge=1`)
    await fetch(`${system.url}/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1`)
    await system.untilSql('messages that were sent', `SELECT 1 FROM delivery WHERE source = 'telegram' AND state = 'sent'`)
    await system.untilSql('a webhook that was sent', `SELECT 1 FROM delivery WHERE endpoint = 'crm' AND state = 'sent'`)
    await until('all work', async () => (await system.value('SELECT count(*)::int FROM work')) === 0)
    system.nodes[0].kill('SIGHUP')
    await until('the reload', () => /rules.*(loaded|in force|unchanged|reload)/.test(system.nodes[0].log.split('\n').slice(-30).join('\n')))

    const places = {
      metrics: await (await fetch(`${system.admin}/metrics`)).text(),
      description: await (await fetch(`${system.admin}/api/v1/openapi.json`)).text(),
      tables: await everythingStored(system),
      rules: JSON.stringify(await system.rows('SELECT * FROM rule_set')),
    }
    const node = system.nodes[0]
    await system.stopNode(node)
    assert.equal(node.exitCode, 0)
    places.log = node.log
    for (const [place, text] of Object.entries(places)) assert.ok(text.length > 500, `${place} has ${text.length} bytes`)
    const sought = Object.entries(secrets).filter(([name]) => !name.endsWith('_ID'))
    sought.push(['endpoint', endpointSecret], ['endpoint, decoded', 'the secret of our outgoing endpoint'], ['support, decoded', 'a support tool signing secret'])
    for (const [place, text] of Object.entries(places))
      for (const [name, secret] of sought) {
        const at = text.indexOf(secret)
        assert.equal(at, -1, `${name} is in the ${place}: …${text.slice(Math.max(0, at - 80), at)}`)
      }
  } finally {
    await system.stop()
  }
})

// What the server has used of processors so far, in seconds: unlike the time that passes, it is the server's own.
const processorTime = async (system) => Number(/^process_cpu_seconds_total ([0-9.e+-]+)$/m.exec(await (await fetch(`${system.admin}/metrics`)).text())[1])

// How long the genuine ones take meanwhile is a matter of the machine.
test('ten forgeries for each genuine webhook: all genuine ones are taken, the forged leave nothing and cost less', async () => {
  const rounds = 4
  const perRound = 100
  const system = await System.start({ rules: null, threads: 1 })
  const forgedBody = JSON.stringify({ object: 'whatsapp_business_account', entry: [], padding: 'x'.repeat(4000) })
  const forgedSignature = 'sha256=' + createHmac('sha256', 'not the secret').update(forgedBody).digest('hex')
  const flood = new Worker(new URL('./support/flood.mjs', import.meta.url), { workerData: {
    url: `${system.url}/webhooks/whatsapp`, body: forgedBody, rate: 1000,
    headers: { 'content-type': 'application/json', 'x-hub-signature-256': forgedSignature },
  } })
  try {
    let number = 0
    const postGenuine = async () => {
      for (let i = 0; i < perRound; i++) {
        const { body, headers } = whatsapp.message('1555930' + String(number++).padStart(4, '0'), 'genuine ' + randomUUID())
        assert.equal((await system.post('whatsapp', { body, headers: { 'content-type': 'application/json', ...headers } })).status, 200)
      }
    }
    const handled = () => until('all genuine ones to be handled', async () => (await system.value('SELECT count(*)::int FROM work')) === 0)
    // What `body` costs the server, all that follows from it included.
    const costOf = async (body) => {
      const before = await processorTime(system)
      await body()
      await handled()
      return (await processorTime(system)) - before
    }
    const sum = { alone: 0, flooded: 0 }
    let refused = 0
    await costOf(postGenuine) // connections, plans
    for (let round = 0; round < rounds; round++) {
      sum.alone += await costOf(postGenuine)
      sum.flooded += await costOf(async () => {
        const over = once(flood, 'message')
        flood.postMessage({ count: 10 * perRound })
        await postGenuine()
        const [answers] = await over
        assert.deepEqual(answers, { 401: 10 * perRound })
        refused += 10 * perRound
      })
    }
    const genuineCost = (sum.alone / rounds / perRound) * 1e6
    const forgedCost = ((sum.flooded - sum.alone) / refused) * 1e6
    console.log(`processor time: ${genuineCost.toFixed(0)} us for a genuine webhook, ${forgedCost.toFixed(0)} us for a forged one`)
    assert.ok(forgedCost < genuineCost / 2, `${forgedCost} us for a forgery, ${genuineCost} us for a genuine webhook`)
    assert.equal(await system.value('SELECT count(*)::int FROM webhook'), number)
    await until('the count of rejects', async () => (await system.value(`SELECT sum(count)::int FROM webhook_reject WHERE source = 'whatsapp'`)) === refused)
    const logged = system.nodes[0].log.split('\n').filter((line) => line.includes('webhook refused')).length
    assert.ok(logged < refused / 20, `${logged} lines of the log for ${refused} forgeries`)
  } finally {
    await flood.terminate()
    await system.stop()
  }
})

// A log that nobody reads stalls whoever writes to it, as a dead lock would.
function fullPipe(path) {
  execFileSync('mkfifo', [path])
  const filler = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const fill = (chunk) => {
    try {
      for (;;) writeSync(filler, chunk)
    } catch (error) {
      assert.equal(error.code, 'EAGAIN')
    }
  }
  return { stderr: openSync(path, constants.O_RDWR), fill: () => [4096, 1].forEach((size) => fill(Buffer.alloc(size, '.'))), close: () => closeSync(filler) }
}

// What makes one thread write to the log, and no other; its log is a pipe that nobody empties.
const stuck = {
  ingest: (system) => {
    // It has to say that it refused this one; the client's patience is not what is tested.
    fetch(`${system.url}/webhooks/whatsapp`, { method: 'POST', body: '{}' }).catch(() => {})
  },
  api: (system, token) => {
    fetch(`${system.admin}/api/v1/reload`, { method: 'POST', headers: { authorization: `Bearer ${token}` } }).catch(() => {})
  },
  upkeep: (system, token, node) => node.kill('SIGHUP'),
}
for (const [actor, provoke] of Object.entries(stuck)) {
  test(`a server whose actor is stuck ends: ${actor}`, async () => {
    const system = await System.start({ rules: null, serve: false, config: 'process { stalled_after = "6s" }' }) // longer than a slow machine leaves it aside
    let node
    try {
      const made = execFileSync(program, ['token', 'create', '--name', 'test', '--scopes', 'admin', '--config', system.config], { env: { ...process.env, ...secrets, ...system.environment() }, stdio: ['ignore', 'pipe', 'ignore'] })
      const [token] = /ans_[A-Za-z0-9_-]+/.exec(made)
      const pipe = fullPipe(join(system.folder, 'log'))
      node = spawn(program, ['serve', '--config', system.config], { cwd: system.folder, env: { ...process.env, ...secrets, ...system.environment() }, stdio: ['ignore', 'ignore', pipe.stderr] })
      closeSync(pipe.stderr)
      await until('answerd to be ready', async () => (await fetch(`${system.admin}/readyz`)).ok)
      pipe.fill()
      provoke(system, token, node)
      await until('its end', () => node.signalCode !== null || node.exitCode !== null)
      // The last words do not get out either, so an alarm ends it.
      assert.equal(node.signalCode, 'SIGALRM')
      pipe.close()
    } finally {
      if (node?.exitCode === null && node.signalCode === null) node.kill('SIGKILL')
      await system.stop()
    }
  })
}
