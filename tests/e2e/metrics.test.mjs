// What /metrics says, and that the alert rules and the dashboard ask for nothing else.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { metricsOf, parseMetrics } from './support/prometheus.mjs'
import { support, telegram, whatsapp } from './support/providers.mjs'
import { project, System, until } from './support/system.mjs'

let folder
let system
let families

// This test serves HTTPS, so that the certificates are in the metrics, too.
function post(source, webhook) {
  return new Promise((done, failed) => {
    const call = request({ host: '127.0.0.1', port: system.port, path: `/webhooks/${source}`, method: 'POST', rejectUnauthorized: false,
      headers: { ...webhook.headers, 'content-length': Buffer.byteLength(webhook.body) } }, (answer) => {
      answer.resume()
      answer.on('end', () => done(answer.statusCode))
    })
    call.on('error', failed)
    call.end(webhook.body)
  })
}

const scrape = async () => {
  const answer = await fetch(`${system.admin}/metrics`)
  assert.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  return parseMetrics(await answer.text())
}
const value = (name, labels = {}) =>
  families.get(name)?.samples.filter((one) => Object.entries(labels).every(([key, wanted]) => one.labels[key] === wanted))
    .reduce((sum, one) => sum + one.value, 0)

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'answerd-metrics-'))
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=localhost',
    '-keyout', join(folder, 'tls.key'), '-out', join(folder, 'tls.pem')], { stdio: 'ignore' })
  system = await System.start({
    rules: null,
    threads: 2,
    httpSettings: `tls = { certificate = "${folder}/tls.pem", key = "${folder}/tls.key" }`,
    supportSettings: 'rate_limit = 0.001, rate_burst = 2',
    files: {
      'echo.lua': `
rule {
  name = "echo", doc = "Says back what was said.", on = { "message.received" },
  run = function(e, fx)
    local conversation = fx:open_conversation { topic = "support" }
    conversation:send { text = "echo " .. (e.message.text or "") }
    conversation:after("1s", "late")
    if e.message.text == "fail" then error("as asked") end
  end,
}
`,
    },
  })
  await post('telegram', telegram.message(4711, 'hello'))
  await system.untilSql('the first answer', `SELECT 1 FROM delivery WHERE state = 'sent'`)
  await system.faults({ source: 'whatsapp', kind: 'refuse', code: 131026, times: 1 })
  await post('whatsapp', whatsapp.message('15557000003', 'refused'))
  await system.untilSql('the refusal', `SELECT 1 FROM delivery WHERE state = 'failed'`)
  await post('whatsapp', whatsapp.message('15557000004', 'fail'))
  assert.equal(await post('whatsapp', { body: '{}', headers: { 'x-hub-signature-256': 'sha256=00' } }), 401)
  assert.equal(await post('nobody', { body: '{}', headers: {} }), 401)
  await fetch(`${system.admin}/api/v1/conversations`)
  families = await until('all of it in the metrics', async () => {
    const now = await scrape()
    const has = (name, key, wanted) => now.get(name)?.samples.some((one) => one.labels[key] === wanted)
    return has('answerd_rule_calls_total', 'verdict', 'failed') && now.get('answerd_timers_fired_total')?.samples[0].value > 0 && now
  })
})
after(async () => {
  await system?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('what is counted is right', () => {
  assert.equal(value('answerd_webhooks_total', { source: 'telegram', result: 'accepted' }), 1)
  assert.equal(value('answerd_webhooks_total', { source: 'whatsapp', result: 'refused' }), 1)
  assert.equal(value('answerd_webhook_rejects_total', { source: 'whatsapp' }), 1)
  assert.equal(value('answerd_webhook_rejects_total', { source: '(unknown)' }), 1)
  assert.equal(value('answerd_provider_errors_total', { target: 'whatsapp', verdict: 'unreachable' }) +
    value('answerd_provider_errors_total', { target: 'whatsapp', verdict: 'refused' }), 1)
  assert.ok(value('answerd_provider_errors_total', { target: 'whatsapp', status: '4xx' }) >= 1)
  assert.equal(value('answerd_rule_calls_total', { rule: 'echo', verdict: 'failed' }), 1)
  assert.equal(value('answerd_database_up'), 1)
  for (const actor of ['ingest', 'engine', 'deliver', 'admin']) assert.ok(value('answerd_database_round_trips_total', { actor }) > 2, actor)
  assert.ok(value('process_resident_memory_bytes') > 1e6)
  assert.ok(value('process_open_fds') > 5)
  assert.ok(Math.abs(value('process_start_time_seconds') - Date.now() / 1000) < 600)
  assert.ok(value('answerd_http_connections') >= 0)
})

test('beyond its rate a source gets 429 with Retry-After, and the others do not care', async () => {
  const answers = []
  for (let i = 0; i < 4; i++) answers.push(await post('support', support.sign({ type: 'x', i })))
  assert.deepEqual(answers, [200, 200, 429, 429])
  assert.equal(await post('telegram', telegram.message(4711, 'still here')), 200)
  // A forgery takes nothing of the rate, and is told no more than others.
  assert.equal(await post('support', { body: '{}', headers: {} }), 401)
  families = await scrape()
  assert.equal(value('answerd_webhooks_total', { source: 'support', result: 'limited' }), 2)
  await until('the log', () => /webhook put off.*source=support.*hint="rate_limit and rate_burst/.test(system.nodes[0].log))
})

// The expressions of the alert rules: what stands behind `expr:`, on its line or indented below it.
function alertExpressions() {
  const text = readFileSync(join(project, 'docker/prometheus-alerts.yml'), 'utf8')
  const found = []
  const alerts = text.split(/^ {6}- alert: /m).slice(1)
  for (const alert of alerts) {
    const name = alert.split('\n')[0]
    const expression = /^ {8}expr: (?:>\n((?: {10}.*\n)+)|(.+)\n)/m.exec(alert)
    assert.ok(expression, `${name} has an expression`)
    assert.match(alert, /^ {8}labels: \{severity: (page|ticket)\}$/m, `${name} has a severity`)
    assert.match(alert, /^ {10}summary: ".+"$/m, `${name} has a summary`)
    assert.match(alert, /^ {10}action: ".+"$/m, `${name} tells what to do`)
    found.push([name, (expression[1] ?? expression[2]).trim()])
  }
  assert.ok(found.length > 10)
  return found
}

function dashboardExpressions() {
  const dashboard = JSON.parse(readFileSync(join(project, 'docker/grafana-dashboard.json'), 'utf8'))
  const ids = new Set()
  const found = []
  for (const panel of dashboard.panels) {
    assert.ok(!ids.has(panel.id) && panel.title && panel.description, `panel ${panel.id}`)
    ids.add(panel.id)
    assert.ok(panel.gridPos.x + panel.gridPos.w <= 24, `${panel.title} fits`)
    for (const target of panel.targets) found.push([panel.title, target.expr])
  }
  assert.ok(found.length > 20)
  return found
}

test('every metric and label that an alert or a panel names is exported', () => {
  const byPrometheus = new Set(['up'])
  const labelsByPrometheus = new Set(['job', 'instance', 'le', ''])
  for (const [where, expression] of [...alertExpressions(), ...dashboardExpressions()]) {
    assert.equal(expression.split('(').length, expression.split(')').length, `${where}: ${expression}`)
    const asked = metricsOf(expression.replace(/"[^"]*"/g, '""'))
    assert.ok(asked.length > 0, `${where} asks for nothing: ${expression}`)
    for (const { name, labels, grouped } of asked) {
      if (byPrometheus.has(name)) continue
      const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''))
      assert.ok(family?.samples.length, `${where}: no metric ${name}`)
      if (name.endsWith('_bucket')) assert.equal(family.type, 'histogram', name)
      if (name.endsWith('_total')) assert.equal(family.type, 'counter', name)
      const known = new Set(family.samples.flatMap((one) => Object.keys(one.labels)))
      for (const one of labels) assert.ok(known.has(one) || labelsByPrometheus.has(one), `${where}: ${name} has no label ${one}`)
      for (const one of grouped) assert.ok(known.has(one) || labelsByPrometheus.has(one), `${where}: ${name} cannot be grouped by ${one}`)
    }
  }
})

test('every metric of ours has a help text that says something', () => {
  for (const family of families.values()) {
    assert.ok(family.type, family.name)
    assert.ok(family.help.length > 10, `${family.name}: ${family.help}`)
    if (family.type === 'counter') assert.match(family.name, /_total$/, family.name)
  }
})

test('a database that is away shows', async () => {
  // Nobody may come in: the connections of this database end, and new ones are refused.
  const client = new pg.Client({ database: 'postgres' })
  await client.connect()
  try {
    await client.query(`ALTER DATABASE ${system.name} ALLOW_CONNECTIONS false`)
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [system.name])
    await until('answerd_database_up to be 0', async () => (await scrape()).get('answerd_database_up').samples[0].value === 0)
  } finally {
    await client.query(`ALTER DATABASE ${system.name} ALLOW_CONNECTIONS true`)
    await client.end()
  }
  await until('answerd_database_up to be 1', async () => (await scrape()).get('answerd_database_up').samples[0].value === 1)
})
