// A folder to begin with: it is well from the first minute, says what the manual says, runs, and takes nobody's files.

import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { System, project, run, secrets } from './support/system.mjs'

const nothingSet = Object.fromEntries(Object.keys(secrets).map((name) => [name, '']))
let folder
let shop
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'answerd init '))
  shop = join(folder, 'shop')
  const made = await run(['init', 'shop'], { cwd: folder })
  assert.equal(made.code, 0, made.stderr)
})
after(() => rmSync(folder, { recursive: true }))

test('it checks and tests well at once, from outside and from within, with no secret set', async () => {
  for (const [args, cwd, told] of [
    [['check', '--strict', '--rules', 'shop/rules'], folder, /^ok: 5 rules, .* 0 warnings\n$/],
    [['test', 'shop/rules'], folder, /^[1-9]\d* passed, 0 failed/m],
    [['check', '--strict'], shop, /^ok: 5 rules, .* 0 warnings\n$/],
    [['test'], shop, /^[1-9]\d* passed, 0 failed/m],
  ]) {
    const { code, stdout, stderr } = await run(args, { cwd, env: nothingSet })
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, told)
  }
  const coverage = await run(['test', '--coverage'], { cwd: shop })
  assert.match(coverage.stdout, /^5 of 5 rules ran/m)
  assert.doesNotMatch(coverage.stdout, /no test saw/)
})

test('the first rule is the one of the manual', () => {
  const manual = readFileSync(join(project, 'rules/README.md'), 'utf8')
  for (const name of ['refund.lua', 'refund_test.lua'])
    assert.ok(manual.includes('```lua\n' + readFileSync(join(shop, 'rules', name), 'utf8') + '```'), name)
  for (const name of ['inbox.lua', 'types/answerd.lua', '.luarc.json'])
    assert.equal(readFileSync(join(shop, 'rules', name), 'utf8'), readFileSync(join(project, 'rules', name), 'utf8'), name)
})

test('the tests of its rules hold beside rules of one\'s own', async () => {
  const own = join(folder, 'own')
  cpSync(shop, own, { recursive: true })
  writeFileSync(join(own, 'rules/rating.lua'), `
survey "rating" { question = "How did we do?", scale = 5, thanks = "Thanks!" }
rule {
  name = "rating-ask", doc = "Ask for a rating whenever a conversation is resolved.", on = "conversation.resolved",
  run  = function(e, fx) e.conversation:survey("rating") end,
}
rule {
  name = "greet", doc = "Says something to everybody who writes.", on = "message.received",
  when = function(e) return e.conversation end,
  run  = function(e, fx) e.conversation:send("We are here.") end,
}
`)
  for (const [file, passed] of [['inbox_test', 5], ['optout_test', 1], ['refund_test', 2]]) {
    const { code, stdout, stderr } = await run(['test', '--filter', file], { cwd: own, env: nothingSet })
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, new RegExp(`^${passed} passed, 0 failed`, 'm'))
  }
  // They are still tests of those rules.
  const inbox = readFileSync(join(own, 'rules/inbox.lua'), 'utf8')
  for (const [right, wrong, failing] of [['if c.is_new then', 'if true then', 1], ['"24h"', '"1h"', 1], ['"inbox_acknowledgement"', '"opted_in"', 5]]) {
    writeFileSync(join(own, 'rules/inbox.lua'), inbox.replace(right, wrong))
    const { code, stdout } = await run(['test', '--filter', 'inbox_test'], { cwd: own, env: nothingSet })
    assert.equal(code, 1, wrong)
    assert.match(stdout, new RegExp(`^${5 - failing} passed, ${failing} failed`, 'm'), wrong)
  }
})

test('the webhook of the folder is answered by a running server', async () => {
  const system = await System.start({ serve: false })
  try {
    system.config = join(shop, 'answerd.lua')
    await system.serve({ environment: { TELEGRAM_API_URL: system.simulateUrl } })
    const body = join(shop, 'fixtures/telegram_message.json')
    const signed = await run(['webhook', 'sign', 'telegram', '--secret', secrets.TELEGRAM_SECRET_TOKEN, body])
    const headers = Object.fromEntries(signed.stdout.trim().split('\n').map((line) => line.split(': ')))
    const answer = await fetch(`${system.url}/webhooks/telegram`, { method: 'POST', headers, body: readFileSync(body) })
    assert.equal(answer.status, 200)
    await system.untilSql('both answers to be sent', `SELECT count(*) = 2 FROM conversation_history WHERE direction = 'out' AND sent_at IS NOT NULL`)
    const [, query] = readFileSync(join(shop, 'README.md'), 'utf8').match(/psql -c '([^']*)'/)
    assert.deepEqual((await system.rows(query)).map((row) => [row.direction, row.text.slice(0, 15)]),
      [['in', 'I want a refund'], ['out', 'Hi Ada, thanks '], ['out', 'Sorry to hear t']])
  } finally {
    await system.stop()
  }
})

test('what is there is not overwritten, and then nothing is made', async () => {
  const before = readFileSync(join(shop, 'answerd.lua'), 'utf8')
  writeFileSync(join(shop, 'rules/refund.lua'), '-- mine\n')
  const again = await run(['init', shop])
  assert.equal(again.code, 1)
  assert.match(again.stderr, /^answerd init: .*shop\/README.md is there already; nothing was made\nHINT: /)
  assert.equal(readFileSync(join(shop, 'rules/refund.lua'), 'utf8'), '-- mine\n')
  assert.equal(readFileSync(join(shop, 'answerd.lua'), 'utf8'), before)

  // One file is enough, and so is a link that leads nowhere; other files are no obstacle.
  const mine = join(folder, 'mine')
  mkdirSync(join(mine, 'rules'), { recursive: true })
  symlinkSync('/nowhere', join(mine, 'rules/inbox.lua'))
  const refused = await run(['init', mine])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /mine\/rules\/inbox.lua is there already/)
  assert.deepEqual(readdirSync(mine), ['rules'])
  rmSync(join(mine, 'rules/inbox.lua'))
  writeFileSync(join(mine, 'rules/other.lua'), '')
  assert.equal((await run(['init', mine + '/'])).code, 0)
  assert.ok(existsSync(join(mine, 'rules/inbox.lua')))
  assert.equal((await run(['check', '--rules', join(mine, 'rules')])).code, 0)
})

test('a folder that cannot be made is told, and so is a missing name', async () => {
  writeFileSync(join(folder, 'file'), '')
  const inFile = await run(['init', join(folder, 'file/shop')])
  assert.equal(inFile.code, 70)
  assert.match(inFile.stderr, /^answerd init: cannot make .*file\/shop.*: Not a directory/)
  assert.equal((await run(['init'])).code, 2)
  assert.equal((await run(['init', 'a', 'b'])).code, 2)
})
