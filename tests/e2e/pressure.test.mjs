// Webhooks are acknowledged, and other rules go on, while rules burn their budgets and a provider does not answer.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { telegram, whatsapp } from './support/providers.mjs'
import { run, System, until } from './support/system.mjs'

const good = `
rule {
  name = "good", doc = "Notes what was said.", on = "message.received", priority = 1,
  run = function(e, fx)
    local conversation = fx:open_conversation { topic = "support" }
    conversation:note("seen " .. (e.message.text or ""))
  end,
}
`
const hostile = {
  loop: 'while true do end',
  protected_loop: 'while true do pcall(function() while true do end end) end',
  memory: 'local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end',
  doubling: 'local s = "x" while true do s = s .. s end',
  pattern: '(("a"):rep(8000)):find(("a?"):rep(200) .. ("a"):rep(200))',
  recursion: 'local function f(n) return 1 + f(n + 1) end f(1)',
  effects: 'local c = fx:open_conversation { topic = "support" } for i = 1, 1e7 do c:note("x") end',
  sorting: 'local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) while true do end end)',
}
const hostileRules = Object.entries(hostile).map(([name, body]) => `
rule { name = "hostile-${name.replaceAll('_', '-')}", doc = "Harms.", on = "message.received", priority = 9, run = function(e, fx) ${body} end }`).join('\n')

// Posts `count` messages one behind the other.
async function post(system, count, from) {
  for (let i = 0; i < count; i++) assert.equal((await system.post('telegram', telegram.message(from + i, `hello ${i}`))).status, 200)
}

test('hostile rules: webhooks are acknowledged meanwhile, and the other rules see every event', async () => {
  // None is quarantined here: each burns what it may on each event. That is no stall: the process goes on.
  const system = await System.start({ rules: null, ruleSettings: 'quarantine_after = 1000, run_tests = false', threads: 2, config: 'process { stalled_after = "10s" }', files: { 'good.lua': good } })
  try {
    await post(system, 20, 1000)
    await until('the quiet part', async () => (await system.value('SELECT count(*)::int FROM work')) === 0)
    system.writeRule('hostile.lua', hostileRules)
    const reloaded = await run(['reload', '--config', system.config], { env: system.environment() })
    assert.equal(reloaded.code, 0, reloaded.stderr) // from here on no event is handled by the former rules
    await system.post('telegram', telegram.message(2999, 'begin'))
    await system.untilSql('a trace of theirs', `SELECT 1 FROM rule_trace WHERE rule LIKE 'hostile-%' LIMIT 1`)

    // Each was acknowledged before the next was posted. Did they wait for the rules, hardly any would be left.
    await post(system, 60, 3000)
    const waiting = await system.value('SELECT count(*)::int FROM work')
    assert.ok(waiting > 30, `${waiting} of 60 wait for the rules when all are acknowledged`)

    await until('all events', async () => (await system.value('SELECT count(*)::int FROM work')) === 0, 900000)
    const handled = await system.rows(`SELECT rule, verdict, count(*)::int AS count FROM rule_trace GROUP BY rule, verdict ORDER BY rule`)
    const ran = handled.filter((row) => row.rule === 'good')
    assert.deepEqual(ran.map((row) => [row.verdict, row.count]), [['ran', 81]], JSON.stringify(handled))
    for (const name of Object.keys(hostile)) {
      const rows = handled.filter((row) => row.rule === `hostile-${name.replaceAll('_', '-')}`)
      assert.ok(rows.length > 0 && rows.every((row) => row.verdict !== 'ran'), `${name}: ${JSON.stringify(rows)}`)
      assert.equal(rows.reduce((sum, row) => sum + row.count, 0), 61, name)
    }
    assert.equal(await system.value(`SELECT count(*)::int FROM parked_event`), 0)
  } finally {
    await system.stop()
  }
})

test('a provider that hangs: webhooks are acknowledged, rules run, and the other provider is written to', async () => {
  const taken = []
  const silent = createServer((socket) => taken.push(socket.on('error', () => {}))) // says nothing
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const system = await System.start({
    rules: null, deliverSettings: 'timeout = "5m"', whatsappUrl: `http://127.0.0.1:${silent.address().port}`,
    files: { 'echo.lua': `rule { name = "echo", doc = "Says it back.", on = "message.received", run = function(e, fx)
      fx:open_conversation { topic = "support" }:send { text = "echo " .. (e.message.text or "") } end }` },
  })
  try {
    for (let i = 0; i < 100; i++) assert.equal((await system.post('whatsapp', whatsapp.message('1555800' + String(i).padStart(4, '0'), 'hello'))).status, 200)
    await until('sends that hang', async () => (await system.value(`SELECT count(*)::int FROM delivery WHERE source = 'whatsapp' AND state = 'sending'`)) > 10)
    for (let i = 0; i < 20; i++) assert.equal((await system.post('telegram', telegram.message(8000 + i, 'hello'))).status, 200)
    await until('answers by Telegram', async () => (await system.value(`SELECT count(*)::int FROM delivery WHERE source = 'telegram' AND state = 'sent'`)) === 20)
    assert.equal(await system.value(`SELECT count(*)::int FROM attempt a JOIN delivery d ON d.id = a.delivery_id WHERE d.source = 'whatsapp'`), 0, 'the others still hang')
    assert.equal(await system.value(`SELECT count(*)::int FROM webhook`), 120)
  } finally {
    silent.close()
    for (const socket of taken) socket.destroy()
    await system.stop()
  }
})
