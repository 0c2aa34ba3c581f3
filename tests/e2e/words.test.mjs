// The words that `answerd check` holds comparisons against are those that the tables, the parsers and the API know.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { System, project, run } from './support/system.mjs'

let system
before(async () => { system = await System.start() })
after(() => system?.stop())

// What check says that a field is one of, when a rule compares it with a word that is none.
async function wordsOfCheck(field, event) {
  const rules = await mkdtemp(join(tmpdir(), 'answerd-words-'))
  await writeFile(join(rules, 'a.lua'), `rule { name = "a", on = "${event}", when = function(e) return ${field} == "no-such-word" end, run = function(e, fx) log(e.id) end }\n`)
  const { stdout } = await run(['check', '--json', '--rules', rules])
  await rm(rules, { recursive: true })
  const found = JSON.parse(stdout).problems.find(({ text }) => text.includes("is never 'no-such-word'"))
  assert.ok(found, `${field}: ${stdout}`)
  return found.hint.replace('it is one of ', '').split(', ').sort()
}

async function wordsOfTable(table, column) {
  const text = await system.value(`SELECT pg_get_constraintdef(c.oid) FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
                                    WHERE c.contype = 'c' AND c.conrelid = $1::regclass AND a.attname = $2 AND cardinality(c.conkey) = 1`, [table, column])
  return [...text.matchAll(/'([a-z]+)'/g)].map(([, word]) => word).sort()
}

for (const [field, table, column, event] of [
  ['e.conversation.state', 'conversation', 'state', 'message.received'],
  ['e.conversation.priority', 'conversation', 'priority', 'message.received'],
  ['e.survey.state', 'survey', 'state', 'survey.answered'],
  ['e.outreach.state', 'outreach', 'state', 'outreach.recovered'],
])
  test(`${field} is compared with the words of ${table}.${column}`, async () => {
    assert.deepEqual(await wordsOfCheck(field, event), await wordsOfTable(table, column))
  })

test('e.status.state is compared with what the parsers give, and what is blocked here', async () => {
  const parser = await readFile(join(project, 'server/channel/whatsapp_status.c'), 'utf8')
  const states = [.../known_states\[\] = \{([^}]*)\}/.exec(parser)[1].matchAll(/"([a-z]+)"/g)].map(([, word]) => word)
  assert.deepEqual(await wordsOfCheck('e.status.state', 'message.status'), [...states, 'blocked'].sort())
})

test('the API takes the same words', async () => {
  const { components } = await (await fetch(`${system.admin}/api/v1/openapi.json`)).json()
  assert.deepEqual([...components.schemas.ConversationState.enum].sort(), await wordsOfTable('conversation', 'state'))
  assert.deepEqual([...components.schemas.Priority.enum].sort(), await wordsOfTable('conversation', 'priority'))
})
