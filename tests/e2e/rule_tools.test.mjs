// What a rule author's terminal and CI see: answerd test and answerd check, without a database.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { program, run, until } from './support/system.mjs'

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
