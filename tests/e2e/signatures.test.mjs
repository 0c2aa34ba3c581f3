// Signatures of random payloads, made by the vendors' own libraries and checked by us, and the other way round.
//
// ANSWERD_SEED chooses the payloads; it is printed, so that a failure can be played again. Where a vendor has no library
// that is small enough to install here, node:crypto follows its documentation.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { after, test } from 'node:test'
import { Bot, webhookCallback } from 'grammy'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'

const binary = process.env.ANSWERD ?? fileURLToPath(new URL('../../build/dev/answerd', import.meta.url))
const seed = Number(process.env.ANSWERD_SEED ?? Date.now() % 1e6)
const rounds = 8
const scratch = mkdtempSync(join(tmpdir(), 'answerd-signatures-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

// A small generator of our own (mulberry32), because Math.random() cannot be seeded.
let state = seed
function random() {
  state = (state + 0x6d2b79f5) | 0
  let value = Math.imul(state ^ (state >>> 15), 1 | state)
  value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
  return ((value ^ (value >>> 14)) >>> 0) / 4294967296
}
const below = (count) => Math.floor(random() * count)
const bytes = (length) => Buffer.from(Array.from({ length }, () => below(256)))

const now = 1795420800
const shapes = [
  () => JSON.stringify({ id: bytes(4).toString('hex'), type: 'x', text: 'Zażółć gęślą jaźń 😀\u2028' }),
  () => JSON.stringify({ padding: 'x'.repeat(below(70000)) }) + '\n',
  () => '{ }\r\n',
  () => JSON.stringify({ noise: bytes(100).toString('base64') }, null, 2),
]
const payload = () => shapes[below(shapes.length)]()

function answerd(action, kind, options, body) {
  const run = spawnSync(binary, ['webhook', action, kind, ...options], { input: body, encoding: 'utf8' })
  assert.equal(run.signal, null, run.stderr)
  return run
}
const asOptions = (headers) => Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`])
function verify(kind, secret, headers, body, { at = now, more = [] } = {}) {
  const run = answerd('verify', kind, ['--secret', secret, '--at', String(at), ...asOptions(headers), ...more], body)
  assert.match(run.stdout, run.status === 0 ? /^valid\n$/ : /^invalid: .+\n$/, run.stderr)
  return run.status === 0
}
function signed(kind, secret, body, more = []) {
  const run = answerd('sign', kind, ['--secret', secret, '--at', String(now), ...more], body)
  assert.equal(run.status, 0, run.stderr)
  return Object.fromEntries(run.stdout.trimEnd().split('\n').map((line) => {
    const [, name, value] = /^([^:]+): (.*)$/.exec(line)
    return [name.toLowerCase(), value]
  }))
}
// One bit of the body is another body.
function changed(body) {
  const copy = Buffer.from(body)
  copy[below(copy.length)] ^= 1 << below(7)
  return copy
}
const eachRound = (name, check) => test(`${name} (seed ${seed})`, async () => {
  for (let round = 0; round < rounds; round++) await check(round)
})

const stripe = new Stripe('sk_test_unused')

eachRound('stripe', (round) => {
  const body = payload()
  const secret = `whsec_${bytes(16).toString('hex')}`
  const age = [0, 10, 299, 300, 301, 3600, -300, -3600][round % 8]
  const header = stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now - age })
  assert.equal(verify('stripe', secret, { 'Stripe-Signature': header }, body), age <= 300, `age ${age}`)
  assert.ok(!verify('stripe', secret, { 'stripe-signature': header }, changed(body), { at: now - age }))
  assert.ok(!verify('stripe', `${secret}x`, { 'stripe-signature': header }, body, { at: now - age }))
  const ours = signed('stripe', secret, body)['stripe-signature']
  assert.ok(stripe.webhooks.signature.verifyHeader(body, ours, secret, 300, undefined, now * 1000))
})

eachRound('standard webhooks, svix and polar', (round) => {
  const body = JSON.stringify({ type: 'x', text: payload() })
  const secret = `whsec_${bytes(24 + below(40)).toString('base64')}`
  const id = `msg_${bytes(6).toString('hex')}`
  const age = [0, 299, 300, 301, -299, -300, -301][round % 7]
  const library = new Webhook(secret)
  const signature = library.sign(id, new Date((now - age) * 1000), body)
  const headers = { 'webhook-id': id, 'webhook-timestamp': now - age, 'webhook-signature': `v1,AAAA v2,x ${signature}` }
  for (const kind of ['standard_webhooks', 'svix', 'polar']) {
    assert.equal(verify(kind, secret, headers, body), Math.abs(age) <= 300, `${kind}, age ${age}`)
    assert.ok(!verify(kind, secret, headers, changed(body), { at: now - age }))
    const joined = { ...headers, 'webhook-signature': `${signature}, v1,AAAA` } // by a proxy, of two headers
    assert.ok(verify(kind, secret, joined, body, { at: now - age }))
    assert.ok(!verify(kind, secret, joined, changed(body), { at: now - age }))
  }
  // Polar's secrets as text: the library decodes what it gets, so it gets the encoded text
  const polar = `polar_whs_${bytes(16).toString('hex')}`
  const byText = new Webhook(Buffer.from(polar).toString('base64')).sign(id, new Date(now * 1000), body)
  const polarHeaders = { 'webhook-id': id, 'webhook-timestamp': now, 'webhook-signature': byText }
  assert.ok(verify('polar', polar, polarHeaders, body))
  assert.ok(!verify('standard_webhooks', polar, polarHeaders, body))

  const at = Math.floor(Date.now() / 1000) // the library has no clock of ours
  const ours = signed('standard_webhooks', secret, body, ['--id', id, '--at', String(at)])
  assert.equal(ours['webhook-id'], id)
  assert.deepEqual(library.verify(body, ours), JSON.parse(body))
})

eachRound('standard webhooks with public keys', () => {
  const body = payload()
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const key = `whpk_${publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')}`
  const signature = sign(null, Buffer.from(`msg_1.${now}.${body}`), privateKey).toString('base64')
  const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': now, 'webhook-signature': `v1,AAAA v1a,${signature}` }
  assert.ok(verify('standard_webhooks', key, headers, body))
  assert.ok(!verify('standard_webhooks', key, headers, changed(body)))
})

test('telegram: what we sign, grammY accepts', async () => {
  const bot = new Bot('1:token', { botInfo: { id: 1, is_bot: true, first_name: 'b', username: 'b_bot' } })
  const seen = []
  bot.on('message', (context) => { seen.push(context.message.text) })
  const handle = webhookCallback(bot, 'std/http', { secretToken: 'Abc_123' })
  const body = JSON.stringify({ update_id: 1, message: { message_id: 1, date: now, chat: { id: 1, type: 'private' }, text: 'hi' } })
  const deliver = (headers) => handle(new Request('https://a.example/', { method: 'POST', body, headers: { ...headers, 'content-type': 'application/json' } }))
  assert.equal((await deliver(signed('telegram', 'Abc_123', body))).status, 200)
  assert.equal((await deliver(signed('telegram', 'Other', body))).status, 401)
  assert.deepEqual(seen, ['hi'])
})

const macs = {
  whatsapp: (secret, body) => ({ 'X-Hub-Signature-256': 'sha256=' + createHmac('sha256', secret).update(body).digest('hex') }),
  paddle: (secret, body) => ({ 'Paddle-Signature': `ts=${now};h1=` + createHmac('sha256', secret).update(`${now}:${body}`).digest('hex') }),
  razorpay: (secret, body) => ({ 'X-Razorpay-Signature': createHmac('sha256', secret).update(body).digest('hex') }),
  gocardless: (secret, body) => ({ 'Webhook-Signature': createHmac('sha256', secret).update(body).digest('hex') }),
  lemonsqueezy: (secret, body) => ({ 'X-Signature': createHmac('sha256', secret).update(body).digest('hex') }),
  mollie: (secret, body) => ({ 'X-Mollie-Signature': 'sha256=' + createHmac('sha256', secret).update(body).digest('hex') }),
  shopify: (secret, body) => ({ 'X-Shopify-Hmac-Sha256': createHmac('sha256', secret).update(body).digest('base64') }),
  square: (secret, body) => ({ 'x-square-hmacsha256-signature': createHmac('sha256', secret).update(`https://a.example/w?x=1${body}`).digest('base64') }),
  adyen: (secret, body) => ({ HmacSignature: createHmac('sha256', Buffer.from(secret, 'hex')).update(body).digest('base64') }),
  hmac: (secret, body) => ({ 'X-Signature': createHmac('sha256', secret).update(body).digest('hex') }),
}
for (const [kind, make] of Object.entries(macs)) {
  eachRound(`${kind}, by its documentation`, () => {
    const body = payload()
    const secret = bytes(20).toString('hex')
    const more = kind === 'square' ? ['--url', 'https://a.example/w?x=1'] : []
    assert.ok(verify(kind, secret, make(secret, body), body, { more }))
    assert.ok(verify(kind, bytes(20).toString('hex'), make(secret, body), body, { more: ['--secret', secret, ...more] }))
    assert.ok(!verify(kind, secret, make(secret, body), changed(body), { more }))
    assert.ok(!verify(kind, bytes(20).toString('hex'), make(secret, body), body, { more }))
    const ours = signed(kind, secret, body, more)
    for (const [name, value] of Object.entries(make(secret, body))) assert.equal(ours[name.toLowerCase()], value)
  })
}

test('hmac, as its settings say', () => {
  const body = payload()
  const settings = { header: 'X-Slack-Signature', prefix: 'v0=', timestamp_header: 'X-Slack-Request-Timestamp', signed: 'v0:{timestamp}:{body}' }
  const more = Object.entries(settings).flatMap(([name, value]) => ['--setting', `${name}=${value}`])
  const headers = {
    'X-Slack-Request-Timestamp': now,
    'X-Slack-Signature': 'v0=' + createHmac('sha256', 'secret').update(`v0:${now}:${body}`).digest('hex'),
  }
  assert.ok(verify('hmac', 'secret', headers, body, { more }))
  assert.ok(!verify('hmac', 'secret', headers, body, { more, at: now + 301 }))
  assert.ok(verify('hmac', 'secret', headers, body, { more: [...more, '--setting', 'tolerance=1h'], at: now + 301 }))
  const wrong = answerd('verify', 'hmac', ['--secret', 's', '--setting', 'algorithm=md5'], body)
  assert.equal(wrong.status, 2)
  assert.match(wrong.stderr, /sha1, sha256, sha512/)
})

test('the body is taken as it is, from a file as well as from stdin', () => {
  const file = join(scratch, 'body')
  for (const body of ['{"a":1}', '{"a":1}\n', '{"a":1}\r\n', '\n', '', 'a\0b']) {
    writeFileSync(file, body)
    const headers = { 'Webhook-Signature': createHmac('sha256', 's').update(body).digest('hex') }
    assert.ok(verify('gocardless', 's', headers, body))
    assert.ok(verify('gocardless', 's', headers, body, { more: ['-'] }))
    assert.ok(verify('gocardless', 's', headers, 'unused', { more: [file] }))
  }
  assert.equal(readFileSync(file, 'utf8'), 'a\0b')
})

test('mistakes on the command line exit 2, and say what is wrong', () => {
  const mistakes = [
    [['verify', 'strip'], /did you mean 'stripe'/],
    [['verify'], /kind/],
    [['frobnicate', 'stripe'], /unknown action/],
    [['verify', 'stripe', '--header', 'no colon'], /Name: value/],
    [['verify', 'stripe', '--setting', 'nope=1'], /no such setting/],
    [['verify', 'stripe', '--at', '99999999999999999'], /--at/],
    [['sign', 'stripe'], /--secret/],
    [['sign', 'paypal', '--secret', 'x'], /private key/],
  ]
  for (const [args, words] of mistakes) {
    const run = spawnSync(binary, ['webhook', ...args], { input: '{}', encoding: 'utf8' })
    assert.equal(run.status, 2, args.join(' '))
    assert.match(run.stderr, words)
    assert.equal(run.stdout, '')
  }
  const run = spawnSync(binary, ['webhook', 'parse', 'stripe'], { input: 'x', encoding: 'utf8' })
  assert.equal(run.status, 1)
  assert.match(run.stderr, /stripe/)
  assert.equal(run.stdout, '')
})
