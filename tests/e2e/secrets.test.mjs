// Secrets are in nothing that the program prints or answers, also when it complains about them.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { telegram, whatsapp } from './support/providers.mjs'
import { project, run, secrets, System, until } from './support/system.mjs'

let system
before(async () => (system = await System.start({ config: 'log { level = "debug" }' })))
after(() => system?.stop())

const known = Object.entries(secrets).filter(([name]) => !name.endsWith('_ID'))
function expectNone(where, text, sought = known) {
  for (const [name, secret] of sought) {
    const at = text.indexOf(secret)
    assert.equal(at, -1, `${name} is in ${where}: …${text.slice(Math.max(0, at - 80), at)}`)
  }
}

test('commands print no secret: checks, helps, and what fails', async () => {
  const commands = (await run(['help'])).stdout.match(/^ {2,}([a-z]+) {2,}/gm).map((line) => line.trim())
  assert.ok(commands.length > 15, commands.join(' '))
  const calls = [
    ...commands.flatMap((name) => [[name, '--help'], ['help', name]]), ['help', 'configuration'], ['help', 'sources'], ['version'],
    ['check', '--json', '--config', system.config], ['check', '--config', system.config],
    ['webhook', 'register', 'telegram', '--config', system.config], ['webhook', 'register', 'whatsapp', '--config', system.config],
    ['health', '--config', system.config], ['held', 'list', '--config', system.config],
    ['reparse', '--config', system.config, '--since', '1h'], ['why', '1', '--config', system.config],
  ]
  for (const args of calls) {
    const { stdout, stderr } = await run(args, { env: system.environment(secrets) })
    expectNone(`answerd ${args.join(' ')}`, stdout + stderr)
  }
})

test('complaints about a configuration do not quote secrets', async () => {
  const file = join(system.folder, 'wrong.lua')
  const secret = 'not-for-anybodys-eyes'
  const wrong = [
    `source "a" { kind = "stripe", signing_secrets = { { "${secret}" } } }`,
    `source "a" { kind = "stripe", signing_secret = { "${secret}" }, timeout = 5 }`,
    `source "a" { kind = "standard_webhooks", signing_secrets = { "whsec_${secret}!!" } }`,
    `source "a" { kind = "adyen", signing_secrets = { "${secret}" } }`,
    `source "a" { kind = "hmac", signature_header = "X", secret = "${secret}", secret_encoding = "hex" }`,
    `source "a" { kind = "telegram", bot_token = "${secret}", secret_token = "${secret} with blanks" }`,
    `source "a" { kind = "whatsapp", phone_number_id = 1, app_secret = "${secret}", verify_token = "${secret}" }`,
    `source "a" { kind = "chargebee", passwords = "${secret}" }`,
    `source "a" { kind = "stripe", signing_secrets = { "${secret}" }`,
    `error("the secret is not in the file: " .. ("${secret}"):len())`,
    `database { url = { "${secret}" } }`,
    `log { level = "${secret}" } http { max_body = "${secret}", listen = "${secret}", public_url = "${secret}", trusted_proxies = "10.0.0.0/x" }`,
  ]
  const refused = new Set()
  for (const text of wrong) {
    writeFileSync(file, text)
    for (const args of [['check', '--json', '--config', file], ['migrate', '--config', file]]) {
      const { code, stdout, stderr } = await run(args, { env: system.environment(secrets) })
      if (code !== 0) refused.add(text)
      expectNone(`${args[0]} of ${text}`, stdout + stderr, [['the secret', secret]])
    }
  }
  assert.ok(refused.size >= 10, [...refused].join('\n')) // there was something to complain about
})

test('complaints about the database do not quote its password', async () => {
  const file = join(system.folder, 'database.lua')
  for (const [password, address] of [
    ['pass-word-1', 'postgresql://answerd:pass-word-1@[::1/answerd'],
    ['word-2', 'postgresql://answerd:p@word-2@127.0.0.1/answerd'],
    ['word-3', 'postgresql://answerd:word-3/more@127.0.0.1/answerd'],
    ['word-4', 'postgresql://answerd:12?word-4@127.0.0.1:1/answerd'],
    ['word-5', 'postgresql://answerd:%zword-5@127.0.0.1/answerd'],
    ['word-6', 'host=127.0.0.1 password=two word-6 dbname=answerd'],
    ['word-7', "host=127.0.0.1 password='word-7 dbname=answerd"],
    ['word-8', 'host=127.0.0.1 pasword=word-8 dbname=answerd'],
    ['word-9', 'postgresql://answerd:word-9@127.0.0.1:1/answerd'],
  ]) {
    writeFileSync(file, `database { url = ${JSON.stringify(address)} }`)
    const { code, stdout, stderr } = await run(['migrate', '--config', file])
    assert.notEqual(code, 0, address)
    expectNone(`migrate with ${address}`, stdout + stderr, [['the password', password]])
    if (!address.includes(':1/')) assert.match(stderr, /cannot be read.*\nHINT: write postgresql:/)
  }
})

test('the configuration of the containers takes any password of the database from its file', async () => {
  const file = join(system.folder, 'password')
  for (const password of ["it's \\ here", "'", '\\', "a b'c=d\\'e"]) {
    writeFileSync(file, password)
    const { code, stderr } = await run(['migrate', '--config', join(project, 'docker/answerd.lua')], { env: system.environment({ PGPASSWORD_FILE: file }) })
    assert.equal(code, 0, `${password}: ${stderr}`)
  }
})

test('the API answers no secret, whatever it is asked', async () => {
  const made = await run(['token', 'create', '--name', 'all', '--scopes', 'read,write,admin', '--config', system.config], { env: system.environment() })
  const [token] = /ans_[A-Za-z0-9_-]+/.exec(made.stdout)
  await system.post('whatsapp', whatsapp.message('15559300001', 'hello'))
  await system.post('telegram', telegram.message(93, 'hello'))
  await system.untilSql('the conversations', 'SELECT 1 FROM conversation HAVING count(*) = 2')
  await until('all work', async () => (await system.value('SELECT count(*)::int FROM work')) === 0)
  const description = await (await fetch(`${system.admin}/api/v1/openapi.json`)).json()
  const ids = await system.rows(`SELECT (SELECT min(id)::text FROM conversation) AS conversation, (SELECT min(id)::text FROM contact) AS contact,
    (SELECT min(id)::text FROM event) AS event, (SELECT min(id)::text FROM webhook) AS webhook`)
  let asked = 0
  for (const [path, operations] of Object.entries(description.paths))
    for (const method of Object.keys(operations).filter((name) => ['get', 'post'].includes(name))) {
      // An object that is there where there is one of that name, else the first source's or a number that nothing has.
      const filled = path.replace(/\{(\w+)\}/g, (_, name) => Object.entries(ids[0]).find(([key]) => path.includes(`/${key}s/`))?.[1] ?? (/source/.test(name) ? 'whatsapp' : '1'))
      for (const body of method === 'post' ? ['{}', '{"text":"x"', ''] : [undefined]) {
        const answer = await fetch(`${system.admin}/api/v1${filled}`, { method: method.toUpperCase(), body, headers: { authorization: `Bearer ${token}` } })
        const text = JSON.stringify([...answer.headers]) + (await answer.text())
        expectNone(`${method} ${filled}`, text, [...known, ['the token', token]])
        asked++
      }
    }
  assert.ok(asked > 30, `${asked} calls`)
  expectNone('the log', system.nodes[0].log, [...known, ['the token', token]])
  expectNone('the tokens as stored', JSON.stringify(await system.rows('SELECT * FROM api_token')), [['the token', token]])
})
