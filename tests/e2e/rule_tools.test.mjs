// What a rule author's terminal and CI see: answerd test and answerd check, without a database.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Parser } from 'tap-parser'
import { program, project, run, until } from './support/system.mjs'

let folder
let rules
const file = (name, text) => writeFile(join(rules, name), text)

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'answerd-tools-'))
  rules = join(folder, 'rules')
  await mkdir(rules)
  await file('greet.lua', `template "hello" { text = "Hello {{name}}" }
rule { name = "greet", on = "message.received", when = function(e) return e.message.text ~= "no" end,
  run = function(e, fx) fx:open_conversation():send { template = "hello", vars = { name = e.contact.name or "there" } } end }
rule { name = "paid", on = "payment.succeeded", run = function(e, fx) end }
`)
  await file('greet_test.lua', `test("greets <once> & \\"well\\"", function(t) t:message "hi" t:expect_sent "Hello there" end)
test("fails", function(t) t:message "hi" t:expect_sent "Goodbye" end)
`)
})
after(() => rm(folder, { recursive: true }))

test('a failure shows what was expected, what came, and what rules did', async () => {
  const told = await run(['test', rules])
  assert.equal(told.code, 1)
  assert.match(told.stdout, /^ok +rules\/greet_test.lua: greets/m)
  assert.match(told.stdout, /^FAIL rules\/greet_test.lua: fails\n +rules\/greet_test.lua:2: t:expect_sent: another message was sent/m)
  assert.match(told.stdout, /text: expected "Goodbye", got "Hello there"/)
  assert.match(told.stdout, /on message.received at 2026-01-05T10:00:00.000Z:\n +greet +ran {2}\(rules\/greet.lua:\d+\)\n +line 3: open_conversation/)
  assert.match(told.stdout, /^1 passed, 1 failed, /m)
})

test('coverage names what no test reached', async () => {
  const told = await run(['test', '--coverage', '--filter', 'once', rules])
  assert.equal(told.code, 0)
  assert.match(told.stdout, /^greet +1 +0 +0 {2}<- 'when' was always true \(rules\/greet.lua:2\)/m)
  assert.match(told.stdout, /^paid +0 +0 +0 {2}<- no test made one of its events/m)
  assert.match(told.stdout, /^1 of 2 rules ran; 0 of 1 'when' were both true and false/m)
})

test('a directory without rules is not called well in silence', async () => {
  const empty = join(folder, 'empty')
  await mkdir(empty)
  const told = await run(['check', '--strict', '--json', '--rules', empty])
  assert.equal(told.code, 1)
  const [problem] = JSON.parse(told.stdout).problems
  assert.equal(problem.path, empty)
  assert.equal(problem.text, 'there is no rule in this directory')
})

test('JUnit and TAP for machines', async () => {
  const report = join(folder, 'junit.xml')
  const told = await run(['test', '--tap', '--junit', report, rules])
  assert.match(told.stdout, /^TAP version 13\nok 1 - .*\nnot ok 2 - rules\/greet_test.lua: fails\n# /)
  assert.match(told.stdout, /^1\.\.2$/m)
  const xml = await readFile(report, 'utf8')
  assert.match(xml, /<testsuite name="rules\/greet_test.lua" tests="2" failures="1"/)
  assert.match(xml, /name="greets &lt;once&gt; &amp; &quot;well&quot;"/)
  assert.match(xml, /<failure message="rules\/greet_test.lua:2: t:expect_sent: another message was sent">/)
  assert.equal((await run(['test', '--junit', join(folder, 'no', 'x.xml'), rules])).code, 70)
})

// Programs that are not ours read what we write, with names and texts that would mean something else to a careless one.
test('TAP and JUnit are what other programs take them for', async () => {
  const names = ['plain', 'not run # SKIP', 'later # TODO', 'two\nlines', 'back \\ slash', ']]> <&> "', 'ünï \u{FFFE}\u{1}\u{1F600}', 'long ' + 'ä'.repeat(600)]
  const odd = join(folder, 'odd')
  await mkdir(odd)
  await writeFile(join(odd, 'odd.lua'), 'rule { name = "echo", on = "message.received", run = function(e, fx) fx:open_conversation():send(e.message.text) end }\n')
  const lua = (text) => `"${text.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n').replace(/\u{1}/gu, '\\1')}"`
  await writeFile(join(odd, 'odd_test.lua'), names.map((name, i) =>
    `test(${lua(name)}, function(t) t:message(${lua('1..0\nBail out!\nok 77 ' + name)}) t:expect_sent(${i % 2 ? lua('no\n1..7 ' + name) : lua('1..0\nBail out!\nok 77 ' + name)}) end)`).join('\n') + '\n')
  const report = join(folder, 'odd.xml')
  const told = await run(['test', '--tap', '--junit', report, odd])
  assert.equal(told.code, 1)

  const events = Parser.parse(told.stdout)
  const asserts = events.filter(([kind]) => kind === 'assert').map(([, one]) => one)
  assert.deepEqual(asserts.map(({ ok, skip, todo }) => ({ ok, skip, todo })), names.map((_, i) => ({ ok: i % 2 === 0, skip: false, todo: false })))
  assert.deepEqual(asserts.map(({ name }) => name.trim()), names.map((name) => `odd/odd_test.lua: ${name.replace(/[\n\u{1}]/gu, ' ')}`))
  assert.deepEqual(events.filter(([kind]) => kind === 'extra' || kind === 'bailout'), [], 'every line is a part of the protocol')
  const complete = events.find(([kind]) => kind === 'complete')[1]
  assert.deepEqual([complete.ok, complete.count, complete.pass, complete.fail, complete.plan.end], [false, 8, 4, 4, 8])

  const schema = join(project, 'tests/e2e/support/junit.xsd')
  const lint = (file) => spawnSync('xmllint', ['--noout', '--schema', schema, file], { encoding: 'utf8' })
  assert.equal(lint(report).status, 0, lint(report).stderr)

  await writeFile(join(odd, 'broken.lua'), 'rule {\n')
  const broken = await run(['test', '--tap', '--junit', report, odd])
  assert.equal(broken.code, 3)
  assert.equal(Parser.parse(broken.stdout).find(([kind]) => kind === 'complete')[1].bailout, 'the rules do not load')
  assert.equal(lint(report).status, 0, lint(report).stderr)
})

test('100 tests say the same in every order and process', async () => {
  const many = join(folder, 'many')
  await mkdir(many)
  await writeFile(join(many, 'many.lua'), `calendar "office" { timezone = "Europe/Zurich", hours = { ["mon-fri"] = "09:00-17:00" } }
rule { name = "dice", on = "message.received", run = function(e, fx)
  local c = fx:open_conversation()
  c:tag("n" .. random(1000))
  c:send("opens at " .. calendar("office"):next_open(now()))
  c:after(random(100) .. "m", "later")
end }
rule { name = "later", on = "timer.later", run = function(e, fx) e.conversation:note("later " .. random(1000)) end }
`)
  await writeFile(join(many, 'many_test.lua'), Array.from({ length: 100 }, (_, i) => `test("number ${i}", function(t)
  t:contact { name = "Ada", telegram = "${i}" } t:message "hi" t:expect_sent { contains = "opens" } t:advance "2h" t:expect_note { contains = "${i % 10 ? 'later' : 'never'}" } end)`).join('\n'))
  // What each test said, without the time that all of them took.
  const results = (told) => told.stdout.split(/^(?=ok |FAIL)/m).map((text) => text.replace(/^\d+ passed.*$/m, '').trim()).sort()
  const first = await run(['test', many])
  assert.match(first.stdout, /^90 passed, 10 failed/m)
  const others = await Promise.all(['1', '2', '4711', '18446744073709551615'].map((seed) => run(['test', '--shuffle', seed, many])))
  for (const other of [...others, await run(['test', many])]) assert.deepEqual(results(other), results(first))
  assert.notEqual(others[0].stdout, others[1].stdout, 'the order is another')
})

test('--watch runs again when a file changes', async () => {
  const child = spawn(program, ['test', '--watch', rules])
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  try {
    await until('the first run', () => output.includes('waiting for a file to change'))
    assert.match(output, /1 passed, 1 failed/)
    output = ''
    await file('greet_test.lua', 'test("greets", function(t) t:message "hi" t:expect_sent "Hello there" end)\n')
    await until('the second run', () => output.includes('waiting for a file to change'))
    assert.match(output, /1 passed, 0 failed/)
  } finally {
    child.kill('SIGKILL')
  }
})

test('check lists what is wrong with the sources beside what is wrong with the file', async () => {
  const shop = await mkdtemp(join(tmpdir(), 'answerd check '))
  await writeFile(join(shop, 'answerd.lua'), `source "a" { kind = "whatsap", app_secret = "x" }
htpp { listen = "127.0.0.1:1" }
source "b" { kind = "stripe", signing_secrets = env "ANSWERD_NOT_SET" }
source "c" { kind = "stripe" }
`)
  const { code, stdout } = await run(['check', '--json', '--config', join(shop, 'answerd.lua')])
  assert.equal(code, 1)
  const found = JSON.parse(stdout).problems.map((problem) => `${problem.line} ${problem.text}`)
  assert.deepEqual(found.sort(), ['1 source "a": unknown kind \'whatsap\'', "2 'htpp' is not defined", '3 the environment variable ANSWERD_NOT_SET is not set', '4 source "c": signing_secrets is missing'])
  await rm(shop, { recursive: true })
})

test('check knows the channels by the sources of the configuration, and shows the errors of every file', async () => {
  const shop = await mkdtemp(join(tmpdir(), 'answerd check '))
  await mkdir(join(shop, 'rules'))
  await writeFile(join(shop, 'answerd.lua'), `source "shop" { kind = "telegram", bot_token = "1:x", secret_token = "x" }
source "pay" { kind = "stripe", signing_secrets = "whsec_x" }
`)
  const rule = (name, code) => writeFile(join(shop, 'rules', `${name}.lua`), `rule { name = "${name}", on = "message.received", run = function(e, fx)\n  ${code}\nend }\n`)
  await rule('prefers', 'e.contact:prefer("shop") e.contact:prefer("whatsapp") e.contact:prefer("shpo") e.contact:prefer("pay")')
  await rule('reaches', 'log(e.contact:can_reach("shop"), e.contact:can_reach("telegram"))')
  await rule('broken', 'if x the end')
  await rule('also_broken', 'local x = { 1 2 }')
  const { code, stdout } = await run(['check', '--json', '--config', join(shop, 'answerd.lua')])
  assert.equal(code, 1)
  assert.deepEqual(JSON.parse(stdout).problems.filter(({ line }) => line === 2).map(({ file, severity, text }) => `${file} ${severity}: ${text}`), [
    "rules/also_broken.lua error: '}' expected near '2'",
    "rules/broken.lua error: 'then' expected near 'the'",
    "rules/prefers.lua warning: prefer: there is no channel 'pay' that sends",
    "rules/prefers.lua warning: prefer: there is no channel 'shpo' that sends; did you mean 'shop'?",
    "rules/reaches.lua warning: can_reach: the source of the kind 'telegram' is called 'shop'",
  ])
  await rm(shop, { recursive: true })
})

test('check reads the tests as well, and does not run them', async () => {
  const checked = async (text) => {
    await file('more_test.lua', text)
    const { code, stdout } = await run(['check', '--json', '--rules', rules])
    return { code, problems: JSON.parse(stdout).problems }
  }
  const broken = await checked('test("broken", function(t)\n  t:message("hi"\nend)\n')
  assert.equal(broken.code, 1)
  assert.match(broken.problems[0].file, /more_test.lua$/)
  assert.ok(broken.problems[0].line >= 2)
  const misspelt = await checked('local function say(t) t:mesage("hi") end\ntest("misspelt", function(t)\n  say(t)\n  t:expct_sent { text = "x" }\n  t:wobble()\nend)\n')
  assert.equal(misspelt.code, 1)
  assert.deepEqual(misspelt.problems.map(({ line, severity }) => [line, severity]), [[1, 'error'], [4, 'error'], [5, 'warning']])
  assert.match(misspelt.problems[1].text, /did you mean 'expect_sent'/)
  assert.equal(misspelt.problems[1].path, join(rules, 'more_test.lua'))
  const fails = await checked('-- t:nothing()\ntest("fails", function(t)\n  t:message("t:nothing()")\n  t:expect_sent { text = "never" }\nend)\n')
  assert.deepEqual(fails, { code: 0, problems: [] })
  await rm(join(rules, 'more_test.lua'))
})

test('check says what a second look finds, for people and for editors', async () => {
  assert.match((await run(['check', '--rules', rules])).stdout, /^ok: 2 rules, rule set [0-9a-f]{12}, 0 warnings/)
  await file('more.lua', `template "unused" { text = "x" }
rule { name = "late", on = "timer.nudge", run = function(e, fx) if e.message then e.conversation:send { text = "x", txt = "y" } end end }
`)
  const told = await run(['check', '--rules', rules])
  assert.equal(told.code, 1)
  assert.match(told.stdout, /^rules\/more.lua:2: error: send has no 'txt'; did you mean 'text'\?\n.*HINT/m)
  const strict = await run(['check', '--json', '--rules', rules + '/'])
  const answer = JSON.parse(strict.stdout)
  assert.equal(answer.ok, false)
  assert.deepEqual(answer.problems.map(({ line, severity }) => [line, severity]), [[1, 'warning'], [2, 'warning'], [2, 'warning'], [2, 'error']])
  for (const problem of answer.problems) {
    assert.deepEqual(Object.keys(problem), ['file', 'path', 'line', 'severity', 'text', 'hint'])
    assert.equal(problem.path, join(rules, 'more.lua'))
  }
  await file('more.lua', 'template "unused" { text = "x" }\n')
  assert.equal((await run(['check', '--rules', rules])).code, 0)
  assert.equal((await run(['check', '--strict', '--rules', rules])).code, 1)
})
