// The vendors' own signature vectors and sample payloads, through `answerd webhook verify` and `answerd webhook parse`.
//
// They stand outside of this tree: ANSWERD_PROTOCOLS names the folder with vectors.json and fixtures/, else
// ../shared/protocols beside the checkout is tried. Without them there is nothing to test.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { after, test } from 'node:test'

const project = fileURLToPath(new URL('../..', import.meta.url))
const binary = process.env.ANSWERD ?? join(project, 'build/dev/answerd')
const folder = process.env.ANSWERD_PROTOCOLS ?? join(project, '../shared/protocols')
const skip = !existsSync(join(folder, 'vectors.json')) && `no vectors.json in ${folder} (see ANSWERD_PROTOCOLS)`
const scratch = mkdtempSync(join(tmpdir(), 'answerd-protocols-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

function answerd(args, input) {
  const run = spawnSync(binary, ['webhook', ...args], { input, encoding: 'utf8', maxBuffer: 64 << 20 })
  assert.equal(run.error, undefined)
  assert.equal(run.signal, null, run.stderr)
  return run
}

// --- signatures -------------------------------------------------------------------------------------------------------

// Where the note of a vector says that we should do better than the SDK.
const betterThanTheSdk = new Set(['paddle-04-rotation-first-good'])

function secrets(vector) {
  const secret = vector.provider === 'chargebee' ? `${vector.user}:${vector.password}`
    : vector.secret ?? vector.secrets ?? vector.secret_token ?? vector.hmac_key_hex ?? vector.webhook_id ?? 'unused'
  return [secret].flat().flatMap((text) => ['--secret', text])
}

function headers(vector) {
  return Object.entries(vector.headers ?? {})
    .flatMap(([name, values]) => [values].flat().flatMap((value) => ['--header', `${name}: ${value}`]))
}

function verifyArguments(vector) {
  const args = ['verify', vector.provider, ...secrets(vector), ...headers(vector)]
  if (vector.verify_at_unix) args.push('--at', String(vector.verify_at_unix))
  if (vector.notification_url) args.push('--url', vector.notification_url)
  if (vector.provider === 'paypal') {
    const certificate = join(scratch, 'certificate.pem')
    const pem = vector.cert_pem ?? vectors.find((other) => other.cert_pem)?.cert_pem
    writeFileSync(certificate, pem)
    args.push('--certificate', certificate)
  }
  return args
}

const vectors = skip ? [] : JSON.parse(readFileSync(join(folder, 'vectors.json'), 'utf8')).vectors

test('signature vectors', { skip }, async (t) => {
  for (const vector of vectors.filter((one) => one.method === 'POST')) {
    await t.test(vector.id, () => {
      const body = Buffer.from(vector.body_base64 ?? '', 'base64')
      const run = answerd(verifyArguments(vector), body)
      const valid = vector.expected === 'valid' || betterThanTheSdk.has(vector.id)
      if (valid) {
        assert.equal(run.stdout, 'valid\n', run.stderr)
        assert.equal(run.status, 0)
        assert.equal(answerd(verifyArguments(vector), Buffer.concat([body, Buffer.from('\n')])).status,
          ['telegram', 'chargebee', 'adyen'].includes(vector.provider) && vector.id !== 'adyen-05-header-hmac' ? 0 : 1,
          'a newline more is another body, where the body is signed')
      } else {
        assert.match(run.stdout, /^invalid: .+\n$/)
        assert.equal(run.status, 1)
      }
    })
  }
})

test('without a secret nothing is valid', { skip }, () => {
  for (const vector of vectors.filter((one) => one.method === 'POST')) {
    const args = ['verify', vector.provider, '--secret', '', ...headers(vector)]
    const run = answerd(vector.notification_url ? [...args, '--url', vector.notification_url] : args,
      Buffer.from(vector.body_base64 ?? '', 'base64'))
    assert.equal(run.status, 1, `${vector.id}: ${run.stdout}${run.stderr}`)
  }
})

// --- payloads ---------------------------------------------------------------------------------------------------------

const kinds = { 'standard-webhooks': 'standard_webhooks' }

function fixtures() {
  const list = []
  for (const name of readdirSync(join(folder, 'fixtures'))) {
    const path = join(folder, 'fixtures', name)
    if (!statSync(path).isDirectory()) continue
    for (const file of readdirSync(path).filter((one) => one.endsWith('.json'))) {
      const kind = name === 'synthetic' ? file.split('-')[0] : kinds[name] ?? name
      let body = readFileSync(join(path, file))
      if (name === 'stripe') { // event.data only
        const type = file.replace(/\.json$/, '').replace(/^subscription\./, 'customer.subscription.')
        const data = JSON.parse(body)
        body = JSON.stringify({ id: `evt_${type}`, object: 'event', api_version: '2026-10-28.endive', created: 1763881200, type, data })
      }
      list.push({ name: `${name}/${file}`, kind, body })
    }
  }
  return list
}

const families = /^(message|payment|subscription|order|template|conversation|contact|webhook)\./

test('sample payloads', { skip }, async (t) => {
  for (const fixture of fixtures()) {
    await t.test(fixture.name, () => {
      const run = answerd(['parse', fixture.kind, '--source', 'sample'], fixture.body)
      assert.equal(run.status, 0, run.stderr)
      assert.equal(answerd(['parse', fixture.kind, '--source', 'sample'], fixture.body).stdout, run.stdout, 'deterministic')
      const events = run.stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line))
      assert.notEqual(events.length, 0)
      assert.equal(new Set(events.map((event) => event.key)).size, events.length, 'each key once')
      for (const event of events) {
        assert.match(event.type, families)
        assert.equal(event.source, 'sample')
        assert.ok(event.key.length > 0 && event.key.length <= 300)
        assert.doesNotMatch(run.stdout, /null/, 'what is not there is left out')
        for (const identity of event.contact?.identities ?? []) assert.match(identity, /^[a-z]+:\S+$/)
        for (const part of [event.payment, event.order]) {
          if (part?.amount !== undefined) assert.ok(Number.isSafeInteger(part.amount))
          if (part?.currency !== undefined) assert.match(part.currency, /^[a-z]{3}$/)
        }
        if (event.type === 'payment.failed') assert.ok(event.payment.attempt >= 1)
      }
    })
  }
})

// What a rule reads of some of them.
const expected = {
  'stripe/invoice.payment_failed.json': {
    type: 'payment.failed', key: 'evt_invoice.payment_failed', identities: ['stripe:cus_1234', 'email:customer@example.org'],
    payment: { amount: 24900, currency: 'usd', attempt: 1, next_attempt: '2025-04-25T03:46:23.000Z', invoice: 'in_1234',
      subscription: 'sub_1234', url: 'https://invoice.stripe.com/', customer: 'cus_1234' },
  },
  'synthetic/stripe-invoice.payment_failed-2026-10-28.endive.json': {
    type: 'payment.failed', identities: ['stripe:cus_SYNTH', 'email:ann@example.com', 'phone:48600100200'],
    payment: { amount: 1999, currency: 'eur', subscription: 'sub_SYNTH', metadata: { plan: 'pro' } },
  },
  'stripe/subscription.updated.json': { type: 'subscription.updated', subscription: { status: 'canceled', plan: 'FFBEGINNER_00000000000000' } },
  'stripe/subscription.deleted.json': { type: 'subscription.canceled', subscription: { id: 'sub_00000000000000' } },
  'paddle/transaction-payment-failed.json': {
    type: 'payment.failed', identities: ['paddle:ctm_01h8e18bxp9hby49dnm8ewf0m0'],
    payment: { amount: 65215, currency: 'usd', reason: 'declined', reference: 'txn_01h8dzxgkvdwemdhbpcapj2tbj' },
  },
  'razorpay/payment.captured.json': { type: 'payment.succeeded', payment: { amount: 5000, currency: 'inr' } },
  'synthetic/razorpay-payment.failed.json': {
    type: 'payment.failed', identities: ['email:gaurav.kumar@example.com', 'phone:919876543210'],
    payment: { amount: 100, reason: 'payment_failed', order: 'order_DESlLckIVRkHWj' },
  },
  'adyen/standard-authorisation.json': { type: 'payment.succeeded', payment: { amount: 1130, currency: 'eur', id: '7914073381342284' } },
  'paypal/payment.capture.denied.json': { type: 'payment.failed', payment: { amount: 50, currency: 'eur' } },
  'paypal/billing.subscription.suspended.json': {
    type: 'subscription.updated', identities: ['paypal:XLHKRXRA4H7QY', 'email:coolbuyer@example.com'],
    subscription: { id: 'I-PE7JWXKGVN0R', status: 'suspended' },
  },
  'square/payment.updated.json': { type: 'payment.succeeded', payment: { amount: 100, currency: 'usd' } },
  'synthetic/square-invoice.scheduled_charge_failed.json': {
    type: 'payment.failed', identities: ['square:C1', 'email:ann@example.com', 'phone:14155550100'],
    payment: { amount: 1999, currency: 'usd', invoice: 'inv:0-SYNTH', subscription: 's-1' },
  },
  'mollie/nextgen-payment-link.paid.json': { type: 'payment.succeeded', payment: { amount: 2495, currency: 'eur' } },
  'lemonsqueezy/subscription_payment_success.json': {
    type: 'payment.succeeded', identities: ['lemonsqueezy:1', 'email:gernser@yahoo.com'],
    payment: { amount: 999, currency: 'usd', invoice: '1', subscription: '1' },
  },
  'synthetic/shopify-orders-paid.json': {
    type: 'order.completed', identities: ['shopify:115310627314723954', 'email:jon@example.com', 'email:john@example.com'],
    order: { id: '820982911946154508', amount: 19900, currency: 'usd' },
  },
  'chargebee/subscription_created.json': { type: 'subscription.created', subscription: { status: 'active', plan: 'basic-monthly' } },
  'synthetic/chargebee-payment_failed.json': {
    type: 'payment.failed', identities: ['chargebee:c1', 'email:ann@example.com', 'phone:14155550100'],
    payment: { amount: 1999, currency: 'usd', reason: 'insufficient_funds', invoice: '42', subscription: 's1',
      next_attempt: '2025-11-26T07:00:00.000Z' },
  },
  'synthetic/gocardless-payments-failed.json': { type: 'payment.failed', key: 'EV123', payment: { id: 'PM123', reason: 'insufficient_funds' } },
  'standard-webhooks/contact.created.json': { type: 'webhook.sample', provider_type: 'contact.created' },
}

function assertContains(actual, wanted, where) {
  if (wanted === null || typeof wanted !== 'object' || Array.isArray(wanted)) return assert.deepEqual(actual, wanted, where)
  for (const [key, value] of Object.entries(wanted)) assertContains(actual?.[key], value, `${where}.${key}`)
}

test('what rules read of the sample payloads', { skip }, async (t) => {
  for (const fixture of fixtures().filter((one) => expected[one.name])) {
    await t.test(fixture.name, () => {
      const { identities, ...wanted } = expected[fixture.name]
      const event = JSON.parse(answerd(['parse', fixture.kind, '--source', 'sample'], fixture.body).stdout.split('\n')[0])
      assertContains(event, wanted, fixture.name)
      if (identities) assert.deepEqual(event.contact.identities, identities)
    })
  }
})
