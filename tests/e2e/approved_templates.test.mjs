// `answerd check --online`: the templates of the rules beside those that Meta approved. Meta is a listener of this file.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { run } from './support/system.mjs'

let folder
let meta
let calls
let answer
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'answerd templates '))
  mkdirSync(join(folder, 'rules'))
  meta = createServer((request, response) => {
    const url = new URL(request.url, 'http://meta')
    calls.push({ method: request.method, path: url.pathname, after: url.searchParams.get('after'), token: request.headers.authorization })
    const { status = 200, ...body } = answer(url)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(meta, 'listening')
  const source = (name, more) => `source "${name}" { kind = "whatsapp", app_secret = "s", verify_token = "v", phone_number_id = "1",
  api_url = "http://127.0.0.1:${meta.address().port}", ${more} }\n`
  writeFileSync(join(folder, 'answerd.lua'), source('shop', 'access_token = "the-token-of-the-shop", business_account_id = "77"') + source('receives', ''))
  writeFileSync(join(folder, 'nameless.lua'), source('shop', 'access_token = "the-token-of-the-shop"'))
  writeFileSync(join(folder, 'rules/templates.lua'), `template "due" { text = { en = "{{name}}: {{amount}}", de = "{{name}}, {{amount}}" }, whatsapp = { name = "due_v2",
  language = { en = "en_US", de = "de" }, parameters = { "name", "amount" } } }

template "only_inside" { text = "Hi" }
template "named" { text = "Hi {{name}}", whatsapp = { name = "hello", parameters = { first_name = "name" } } }
rule { name = "r", on = "message.received", run = function(e, fx) local c = fx:open_conversation()
  c:send { template = "due", vars = { name = "a", amount = "1" } } c:send { template = "only_inside" } c:send { template = "named", vars = { name = "a" } } end }
`)
})
after(() => {
  meta?.close()
  rmSync(folder, { recursive: true })
})
beforeEach(() => (calls = []))

const approved = (name, language, text, status = 'APPROVED') => ({ name, language, status, components: [{ type: 'BODY', text }] })
const pages = {
  null: { data: [approved('due_v2', 'en_US', '{{1}} owes {{2}}'), approved('due_v2', 'de', '{{1}} schuldet {{2}}')],
    paging: { cursors: { after: 'page 2' }, next: 'https://graph.facebook.com/the-next-one' } },
  'page 2': { data: [approved('hello', 'en', 'Hi {{first_name}}')], paging: { cursors: { after: 'page 3' } } },
}
const check = (...args) => run(['check', '--online', ...args], { cwd: folder })

test('templates that are as approved are well; every page is asked for, and nothing else', async () => {
  answer = (url) => pages[url.searchParams.get('after')]
  const { code, stdout, stderr } = await check()
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /^ok: 1 rule/m)
  const call = { method: 'GET', path: '/v25.0/77/message_templates', token: 'Bearer the-token-of-the-shop' }
  assert.deepEqual(calls.map(({ path, ...rest }) => ({ ...rest, path: path.replace(/^\/v[\d.]+/, '/v25.0') })),
    [{ ...call, after: null }, { ...call, after: 'page 2' }])
})

test('without --online nobody is asked', async () => {
  const { code } = await run(['check'], { cwd: folder })
  assert.equal(code, 0)
  assert.deepEqual(calls, [])
})

test('what would be refused when it is sent is found, with file and line', async () => {
  answer = () => ({ data: [approved('due_v2', 'en_US', '{{1}} owes'), approved('due_v2', 'de', 'x', 'PAUSED'), approved('helo', 'en', 'Hi')] })
  const { code, stdout } = await check('--json')
  assert.equal(code, 1)
  const problems = JSON.parse(stdout).problems.map(({ file, line, severity, text, hint }) => [`${file}:${line}`, severity, text, hint ?? ''])
  const find = (words) => problems.find(([, , text]) => text.includes(words)) ?? assert.fail(`${words}\n${stdout}`)
  assert.deepEqual(find('2 are given: name, amount').slice(0, 2), ['rules/templates.lua:1', 'error'])
  assert.deepEqual(find("has 'due_v2' in de as paused").slice(0, 2), ['rules/templates.lua:1', 'warning'])
  assert.deepEqual(find("has no template 'hello' in en").slice(0, 2), ['rules/templates.lua:5', 'error'])
  assert.match(find("has no template 'hello' in en")[3], /did you mean 'helo'\?/)
})

test('an account that cannot be asked is an error that says why, and shows no secret', async () => {
  answer = () => ({ status: 401, error: { message: 'Invalid token the-token-of-the-shop', code: 190 } })
  const refused = await check()
  assert.equal(refused.code, 1)
  assert.match(refused.stdout, /^answerd\.lua:1: error: source 'shop': its templates could not be compared: the provider answered 401: Invalid token \*+$/m)
  answer = () => ({ surprise: true })
  assert.match((await check()).stdout, /could not be compared: the answer is no list of templates/)
  const nameless = await check('--config', 'nameless.lua')
  assert.match(nameless.stdout, /could not be compared: it has no business_account_id\nHINT: /)
})
