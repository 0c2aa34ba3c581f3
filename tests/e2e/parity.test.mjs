// A rule test tells the truth: what the server does to a story, `answerd test` does as well. Each story is played on the server
// first; what came of it becomes the expectations of a rule test.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { stripe } from './support/providers.mjs'
import { run, System } from './support/system.mjs'
import { runTests, Twin } from './support/twin.mjs'

const rules = `
template "menu" { text = "What is it about?", buttons = { { id = "order", text = "My order" }, { id = "bill", text = "My bill" } } }
template "offer" { topic = "marketing", category = "marketing", text = "We miss you, {{name}}!", whatsapp = { name = "offer_v1", parameters = { "name" } } }
template "still" { topic = "support", text = "Are you still there?", whatsapp = { name = "still_v1" } }
rule { name = "menu", on = "message.received", when = function(e) return is(e.message.text, "menu") end,
  run = function(e, fx) e.conversation:send { template = "menu" } end }
rule { name = "choice", on = "message.button", when = function(e) return e.message.button.id == "bill" or e.message.button.id == "order" end,
  run = function(e, fx) e.conversation:tag(e.message.button.id) e.conversation:send("You chose " .. e.message.button.text) end }
rule { name = "sla", on = { "conversation.opened", "conversation.reopened" },
  run = function(e, fx) e.conversation:after("1h", "sla", { unless = { "reply", "conversation.resolved" }, data = { promised = "1h" } }) end }
rule { name = "sla-broken", on = "timer.sla",
  run = function(e, fx) e.conversation:tag("late") e.conversation:note("Not answered within " .. e.timer.data.promised) end }
rule { name = "later", on = "conversation.tagged", when = function(e) return e.body.tag == "later" end,
  run = function(e, fx) e.conversation:snooze("3d") e.conversation:untag("later") end }
rule { name = "awake", on = "timer.snooze", run = function(e, fx) e.conversation:note("Awake again: " .. e.conversation.state) end }
rule { name = "back", on = "conversation.reopened", run = function(e, fx) e.conversation:note("Reopened") end }
rule { name = "urge", on = "custom.urge", run = function(e, fx) fx:open_conversation { topic = "support", tags = e.body.tags, priority = e.body.priority } end }
rule { name = "urged", on = "conversation.prioritized", run = function(e, fx) e.conversation:note(e.body.by .. " made it " .. e.body.priority) end }
rule { name = "first", on = "custom.order", priority = 2, run = function(e, fx) e.contact:set("seen", "first") fx:emit("after_first", { n = 1 }) end }
rule { name = "broken", on = "custom.order", priority = 1, run = function(e, fx) e.contact:set("seen", "broken") error("on purpose") end }
rule { name = "last", on = "custom.order", priority = 0, run = function(e, fx) e.contact:set("before", e.contact.attributes.seen) fx:stop() end }
rule { name = "never", on = "custom.order", priority = -1, run = function(e, fx) e.contact:set("never", true) end }
rule { name = "chain", on = "custom.chain", run = function(e, fx) fx:emit("chain", { n = e.body.n + 1 }) end }
rule { name = "lost", on = "message.status", when = function(e) return e.status.state == "failed" or e.status.state == "blocked" end,
  run = function(e, fx) if e.conversation then e.conversation:note(e.status.state .. ": " .. e.status.error.code .. ", " .. (e.status.error.title or "?")) end end }
rule { name = "offer", on = "custom.offer", budget = { sends_per_contact_per_day = 2 },
  run = function(e, fx) fx:open_conversation { topic = "marketing" }:send { template = "offer", vars = { name = e.contact.name or "there" } } end }
rule { name = "text", on = "custom.text", run = function(e, fx) fx:open_conversation { topic = "support" }:send(e.body.text) end }
rule { name = "closing", on = "window.closing", when = function(e) return e.conversation.state == "open" end,
  run = function(e, fx) e.conversation:send { template = "still" } end }
rule { name = "claim", on = "custom.claim", run = function(e, fx) e.contact:identify(e.body.identity) end }
rule { name = "file", on = "message.received", when = function(e) return e.message.media end,
  run = function(e, fx) e.conversation:note(e.message.kind .. " " .. e.message.media.mime_type .. ": " .. (e.message.text or "")) end }
rule { name = "edited", on = "message.edited", when = function(e) return e.conversation end, run = function(e, fx) e.conversation:note("Now: " .. e.message.text) end }
rule { name = "merged", on = "contact.merged", run = function(e, fx) e.contact:set("merged", true) end }
rule { name = "hush", on = "custom.hush", run = function(e, fx) e.contact:opt_out(e.body.topic) end }
rule { name = "prefer", on = "custom.prefer", run = function(e, fx) e.contact:prefer(e.body.channel) e.contact:set("language", "de") end }
rule { name = "refunded", on = "payment.refunded", when = function(e) return e.contact and not e.payment.secondary end,
  run = function(e, fx)
    local c = fx:open_conversation { topic = "billing", reference = e.payment.reference, tags = { "refund" } }
    c:send("We sent back " .. money(e.payment.amount, e.payment.currency))
    c:resolve()
  end }
rule { name = "cancel", on = "custom.cancel", run = function(e, fx) for _, c in ipairs(e.conversations) do c:cancel("sla") end end }
rule { name = "history", on = "message.received", when = function(e) return is(e.message.text, "repeat") end,
  run = function(e, fx)
    local told = {}
    for _, message in ipairs(e.conversation:history(4)) do told[#told + 1] = message.direction .. " " .. (message.text or "") end
    e.conversation:note(table.concat(told, " | "))
  end }
`

let system
let token
const twins = []

before(async () => {
  system = await System.start({ files: { 'parity.lua': rules, 'data/team.lua': 'return { on_call = {} }' } })
  token = /ans_[A-Za-z0-9_-]+/.exec((await run(['token', 'create', '--name', 'parity', '--scopes', 'read,write', '--config', system.config], { env: system.environment() })).stdout)[0]
  for (const source of ['whatsapp', 'telegram']) await system.faults({ source, kind: 'no_status', times: -1 })
})
after(() => system?.stop())

// A story, played on the server from one due time to the next: what would be due at once there would not be in memory; the last test plays all of them in memory.
let number = 0
function story(name, play, channel = 'whatsapp') {
  test(`on the server: ${name}`, async () => {
    const twin = new Twin(system, token, name, channel === 'whatsapp' ? `whatsapp:1555800${1000 + number++}` : `telegram:${880000 + number++}`)
    await play(twin)
    twins.push(twin)
  })
}

const invoice = (twin, id, more = {}) => stripe.invoice({ id, phone: twin.person.slice(9), email: `${id}@example.com`, ...more })

story('a first message, and a button', async (twin) => {
  await twin.say('hello')
  await twin.say('menu')
  await twin.tap('My bill')
})

story('nobody answers in time', async (twin) => {
  await twin.say('help')
  await twin.pass('1h')
  await twin.pass('21h58m')
  await twin.pass('3h')
  await twin.emit('text', { text: 'a text outside of the window' })
})

story('a colleague answers, and resolves; the rating comes as a text, with a comment', async (twin) => {
  await twin.say('help')
  await twin.agent('reply', 'I am on it')
  await twin.agent('resolve')
  await twin.say('2')
  await twin.say('You were slow')
  await twin.say('And one more thing')
})

story('the rating comes by a button, and is changed', async (twin) => {
  await twin.say('help')
  await twin.agent('resolve')
  await twin.tap('4 🙂')
  await twin.tap('1 😞')
})

story('a rating that never comes, and a conversation that is opened again', async (twin) => {
  await twin.say('help')
  await twin.agent('resolve')
  await twin.pass('5h')
  await twin.say('It broke again')
  await twin.agent('resolve')
  await twin.pass('72h')
})

story('tags and a priority for a conversation that is open', async (twin) => {
  await twin.say('hello')
  await twin.emit('urge', { tags: ['vip', 'late'], priority: 'high' })
  await twin.emit('urge', { tags: ['vip'], priority: 'normal' })
  await twin.agent('prioritize', 'low')
  await twin.emit('urge', { tags: ['vip', 'again'], priority: 'urgent' })
})

story('snoozed until its time comes', async (twin) => {
  await twin.say('help')
  await twin.agent('reply', 'Tomorrow')
  await twin.agent('tag', 'later')
  await twin.pass('3d')
})

story('snoozed until the customer writes', async (twin) => {
  await twin.say('help')
  await twin.agent('snooze', '2d')
  await twin.say('Hello?')
})

story('STOP and START', async (twin) => {
  await twin.say('hello')
  await twin.say('STOP')
  await twin.emit('text', { text: 'not to be sent' })
  await twin.emit('offer', {})
  await twin.say('START')
  await twin.emit('offer', {})
})

story('a rule that fails, one that stops, and what they see of each other', async (twin) => {
  await twin.say('hello')
  await twin.emit('order', {})
  await twin.emit('chain', { n: 0 })
  await twin.emit('cancel', {})
})

story('a payment that fails, is reminded of, and is paid', async (twin) => {
  await twin.say('hello')
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity1'))
  for (const part of ['1h', '21h58m', '1h2m']) await twin.pass(part)
  await twin.pay('invoice.paid', invoice(twin, 'in_parity1', { status: 'paid', amount_paid: 1900, amount_remaining: 0 }))
  await twin.pass('72h')
})

story('a payment that nobody makes', async (twin) => {
  await twin.say('hello')
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity2'))
  await twin.status('failed', 131026)
  for (const part of ['1h', '21h58m', '1h2m']) await twin.pass(part)
  await twin.pass('48h')
  await twin.pass('72h')
})

story('WhatsApp holds its window for closed', async (twin) => {
  await twin.say('hello')
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity3'))
  await twin.status('failed', 131047)
  await twin.status('delivered')
  await twin.say('STOP')
  for (const part of ['1h', '21h58m', '1h2m']) await twin.pass(part)
})

story('a text that fails, and a number that is dead', async (twin) => {
  await twin.say('hello')
  await twin.emit('text', { text: 'one' })
  await twin.status('failed', 131026)
  await twin.emit('text', { text: 'two' })
  await twin.say('I am back')
  await twin.emit('text', { text: 'three' })
})

story('a budget', async (twin) => {
  await twin.say('hello')
  for (let i = 0; i < 3; i++) await twin.emit('offer', {})
})

story('an identity of somebody else, and one of nobody', async (twin) => {
  await twin.say('hello')
  await twin.emit('claim', { identity: 'email:nobody@example.com' })
})

story('what a rule reads of the conversation', async (twin) => {
  await twin.say('hello')
  await twin.say('menu')
  await twin.agent('reply', 'One moment')
  await twin.say('repeat')
})

story('a provider that fails for a moment', async (twin) => {
  await system.faults({ source: 'whatsapp', kind: 'server_error', times: 1 })
  await twin.say('menu')
  await twin.tap('My order')
})

story('an image', async (twin) => {
  await twin.show('My broken cup')
})

story('an edit on Telegram', async (twin) => {
  await twin.say('hello')
  await twin.say('menu')
  await twin.edit('menu, please')
}, 'telegram')

story('another channel when WhatsApp fails, in another language', async (twin) => {
  await twin.say('hello')
  await twin.emit('claim', { identity: 'telegram:990001' })
  await twin.emit('prefer', { channel: 'whatsapp' })
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity4'))
  await twin.status('failed', 131026)
})

story('a topic that was stopped', async (twin) => {
  await twin.say('hello')
  await twin.emit('hush', { topic: 'billing' })
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity5'))
  await twin.emit('text', { text: 'about something else' })
})

story('a rating asked outside of the window', async (twin) => {
  await twin.say('hello')
  for (const part of ['1h', '21h58m', '3h']) await twin.pass(part)
  await twin.agent('resolve')
  await twin.say('5')
})

// In one second, as in the other world, where no time passes: the last failure is not one that came after the payment.
story('the same payment twice, and under two names', async (twin) => {
  const at = Math.floor(Date.now() / 1000)
  await twin.say('hello')
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity6'), at)
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity6', { attempt: 2 }), at)
  await twin.pay('invoice.paid', invoice(twin, 'in_parity6', { status: 'paid', amount_paid: 1900, amount_remaining: 0 }), at)
  await twin.pay('invoice.payment_failed', invoice(twin, 'in_parity6'), at)
})

story('a customer of Stripe who turns out to be the one on WhatsApp', async (twin) => {
  await twin.say('hello')
  await twin.pay('invoice.payment_failed', stripe.invoice({ id: 'in_parity7', email: 'parity7@example.com', customer: 'cus_parity7' }))
  await twin.pay('invoice.payment_failed', stripe.invoice({ id: 'in_parity8', email: 'parity7@example.com', customer: 'cus_parity7', metadata: { whatsapp: twin.person.slice(9) } }))
})

test('in memory: every story again', async () => {
  const told = await runTests(system, twins)
  assert.equal(told.code, 0, `${told.folder}\n${told.said}`)
  assert.match(told.said, new RegExp(`^${twins.length} passed`, 'm'))
})
