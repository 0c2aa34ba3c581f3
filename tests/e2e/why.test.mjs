// "They say they never heard from us": answerd why --contact says why.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { stripe, whatsapp } from './support/providers.mjs'
import { run, System, until } from './support/system.mjs'

const phone = '15550144'
let system
const why = (...args) => run(['why', '--config', system.config, ...args], { env: system.environment() })

before(async () => {
  system = await System.start()
})
after(() => system?.stop())

test('an opt-out, what was refused for it, and what each rule decided', async () => {
  await system.post('whatsapp', whatsapp.message(phone, 'STOP', { id: 'wamid.stop' }))
  await system.untilSql('the opt-out', `SELECT 1 FROM contact WHERE 'all' = ANY (opted_out)`)
  await system.post('stripe', stripe.event('invoice.payment_failed', stripe.invoice({ id: 'in_quiet', phone }), { id: 'evt_quiet' }))
  await system.untilSql('the payment to be handled', `SELECT 1 FROM handling h JOIN event e ON e.id = h.event_id WHERE e.key = 'evt_quiet'`)

  const told = await why('--contact', `+${phone}`, '--since', '1h')
  assert.equal(told.code, 0, told.stderr)
  assert.match(told.stdout, /^contact +contact \d+.*: opted out of everything/m)
  assert.match(told.stdout, new RegExp(`^address +whatsapp:${phone} on whatsapp: window open until`, 'm'))
  assert.match(told.stdout, /^refused +outreach by payment-recovery: the contact has opted out/m)
  assert.match(told.stdout, /^event +message.received: .*\n/m)
  assert.match(told.stdout, /^ {4}rule +opt-in: its when said no {2}\(rules\/optout.lua:\d+\)/m)
  assert.match(told.stdout, /^ {4}rule +inbox: not run: a rule before it stopped the event/m)
  assert.match(told.stdout, /^rule +csat-low: its on names none of these events/m)
})

test('by number, as JSON, and the same in SQL', async () => {
  const id = await system.value(`SELECT contact_id FROM identity WHERE identity = 'whatsapp:${phone}'`)
  const look = () => system.rows('SELECT what, subject, outcome FROM why_nothing($1) ORDER BY step', [id])
  // The provider's reports may still come in: the command is compared with SQL when nothing happened while it ran.
  const { told, inSql } = await until('a while in which nothing happens', async () => {
    const before = await look()
    const told = await why('--contact', String(id), '--json')
    const inSql = await look()
    return isDeepStrictEqual(before, inSql) && { told, inSql }
  })
  assert.equal(told.code, 0, told.stderr)
  const rows = told.stdout.trim().split('\n').map((line) => JSON.parse(line))
  assert.equal(rows[0].what, 'contact')
  assert.deepEqual(rows.map((row) => row.step), rows.map((_, index) => index + 1))
  assert.deepEqual(rows.map(({ what, subject, outcome }) => ({ what, subject, outcome })), inSql)
})

test('mistakes are told as such', async () => {
  const nobody = await why('--contact', 'whatsapp:999')
  assert.equal(nobody.code, 1)
  assert.match(nobody.stderr, /nobody is known as 'whatsapp:999'\nHINT: /)
  assert.equal((await why('--contact', 'x', 'evt_quiet')).code, 2)
  assert.equal((await why('--since', '7d', 'evt_quiet')).code, 2)
  assert.equal((await why()).code, 2)
})
