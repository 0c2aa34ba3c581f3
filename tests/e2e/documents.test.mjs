// What the documents print is run: the queries against a database that has lived, the rule and its test as they stand.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, cpSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { whatsapp } from './support/providers.mjs'
import { System, project, run } from './support/system.mjs'

const blocks = (file, language) =>
  [...readFileSync(join(project, file), 'utf8').matchAll(new RegExp('```' + language + '\\n([\\s\\S]*?)```', 'g'))].map((match) => match[1])

let system
before(async () => {
  system = await System.start()
  await system.post('whatsapp', whatsapp.message('15550100', 'hello', { id: 'wamid.hello' }))
  await system.untilSql('an answer', `SELECT 1 FROM message WHERE direction = 'out' AND state = 'read'`)
})
after(() => system?.stop())

// docker-compose gives a program a terminal unless it is told not to, and a terminal changes what is not text.
test('no command of the documents sends a file through a terminal', () => {
  for (const file of ['README.md', 'docker/README.md', 'migrations/README.md', 'rules/OPERATING.md'])
    for (const [command, options] of readFileSync(join(project, file), 'utf8').matchAll(/docker-compose … exec ((?:-\S+ )*)[^`\n|]*[<>] *[a-z]/g))
      assert.match(options, /-T/, `${file}: ${command}`)
})

for (const file of ['README.md', 'docker/README.md', 'migrations/README.md', 'rules/OPERATING.md'])
  for (const block of blocks(file, 'sql'))
    for (const query of block.split(/;\s*$/m).filter((text) => text.trim()))
      test(`${file}: ${query.trim().split('\n')[0]}`, async () => {
        await system.rows(query)
      })

test('the queries that hints name can be run', async () => {
  const queries = readdirSync(join(project, 'server'), { recursive: true }).filter((name) => name.endsWith('.c')).flatMap((name) => {
    const text = readFileSync(join(project, 'server', name), 'utf8')
    return [...text.matchAll(/"HINT: (SELECT [^"]*)"(?:\s*PRId64\s*"([^"]*)")?/g)].map(([, query, rest]) =>
      (query + (rest ?? '')).replace(/%%/g, '%').replace(/% tells.*/, '0').replace(/\\n.*/, ''))
  })
  assert.ok(queries.length >= 3, queries.join('\n'))
  for (const query of queries) await system.rows(query)
})

test('the history of the customer in the documents is found', async () => {
  const [query] = blocks('migrations/README.md', 'sql')[0].split(/;\s*$/m)
  assert.ok((await system.rows(query)).length >= 2)
})

test('the read-only role may read the views and nothing else', async () => {
  const client = await system.db.connect()
  try {
    await client.query('SET ROLE answerd_read')
    await client.query('SELECT * FROM conversation_history')
    await assert.rejects(client.query('SELECT * FROM message'), /permission denied/)
    await assert.rejects(client.query("DELETE FROM csat_scores"), /permission denied|cannot delete/)
  } finally {
    await client.query('RESET ROLE')
    client.release()
  }
})

test('the rule of the README and its test work as printed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'answerd readme '))
  try {
    cpSync(join(project, 'rules'), folder, { recursive: true })
    const [rule, ruleTest] = blocks('README.md', 'lua')
    writeFileSync(join(folder, 'refunds.lua'), rule)
    writeFileSync(join(folder, 'refunds_test.lua'), ruleTest)
    const checked = await run(['check', '--rules', folder])
    assert.equal(checked.code, 0, checked.stdout + checked.stderr)
    const tested = await run(['test', '--filter', 'refund', folder])
    assert.equal(tested.code, 0, tested.stdout + tested.stderr)
    assert.match(tested.stdout, /1 passed, 0 failed/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('every test that SECURITY.md names is there', () => {
  const rows = readFileSync(join(project, 'SECURITY.md'), 'utf8').split('\n').filter((line) => /^\| .*`(tests|scripts)\//.test(line))
  assert.ok(rows.length > 20)
  for (const row of rows)
    for (const [, file, names] of row.split(' | ').pop().matchAll(/`([a-z][^`]*)`([^;`|]*(?:;[^`|]*)?)/g)) {
      const text = readFileSync(join(project, file), 'utf8')
      // Names of unit tests are words with commas between them; those of end-to-end tests have spaces.
      for (const name of names.split(file.endsWith('.c') ? /[;,]/ : ';').map((one) => one.trim()).filter(Boolean))
        assert.ok(text.includes(name), `${file} has no test '${name}'`)
    }
})

// "-- rules/NAME.lua" begins a file; NAME_test.lua is the test of NAME.lua, and runs with it and the rules that we ship.
const manuals = ['rules/README.md', 'rules/OPERATING.md', 'rules/RECIPES.md', 'rules/MIGRATING.md']
const examples = new Map(manuals.flatMap((file) => blocks(file, 'lua')).flatMap((text) => {
  const name = text.match(/^-- rules\/(\S+\.lua)\n/)?.[1]
  return name ? [[name, text]] : []
}))
for (const name of examples.keys()) {
  if (!name.endsWith('_test.lua')) continue
  test(`the manual's ${name} passes as printed`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'answerd manual '))
    try {
      cpSync(join(project, 'rules'), folder, { recursive: true })
      const rules = name.replace('_test.lua', '.lua')
      for (const file of [rules, name]) writeFileSync(join(folder, file), examples.get(file))
      const checked = await run(['check', '--strict', '--rules', folder])
      assert.equal(checked.code, 0, checked.stdout + checked.stderr)
      const tested = await run(['test', '--filter', name, folder])
      assert.equal(tested.code, 0, tested.stdout + tested.stderr)
      assert.match(tested.stdout, /[1-9]\d* passed, 0 failed/)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

test('links of the documents lead somewhere', () => {
  const slug = (title) => title.toLowerCase().replace(/[^\p{L}\p{N}_\- ]/gu, '').replaceAll(' ', '-')
  const files = ['README.md', 'rules/README.md', 'rules/OPERATING.md', 'rules/RECIPES.md', 'rules/MIGRATING.md', 'migrations/README.md', 'docker/README.md', 'server/README.md', 'tests/README.md', 'CONTRIBUTING.md']
  for (const file of files)
    for (const [, target] of readFileSync(join(project, file), 'utf8').replace(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [path, anchor] = target.split('#')
      const text = readFileSync(path ? join(project, dirname(file), path) : join(project, file), 'utf8')
      if (anchor) assert.ok([...text.matchAll(/^#+ (.*)$/gm)].some((match) => slug(match[1]) === anchor), `${file}: ${target}`)
    }
})

test('every command of the program explains itself', async () => {
  const { stdout } = await run(['--help'])
  const commands = [...stdout.matchAll(/^  ([a-z]+) {2,}/gm)].map((match) => match[1])
  assert.ok(commands.length > 8)
  for (const command of commands) {
    const { code, stdout: help } = await run([command, '--help'])
    assert.equal(code, 0, command)
    assert.match(help, new RegExp(`^answerd ${command}: .*\\n\\nUsage: answerd ${command}`))
  }
})
