// HTTPS to us, HTTPS to a proxy before us, and what comes by neither.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import tls from 'node:tls'
import { support } from './support/providers.mjs'
import { System, run, until } from './support/system.mjs'

let folder
let system

function makeCertificate(name, host) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
    '-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`,
    '-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.pem`)], { stdio: 'ignore' })
}

const certificates = () => `tls = { certificate = { "${folder}/one.pem", "${folder}/two.pem" }, key = { "${folder}/one.key", "${folder}/two.key" } }`

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'answerd tls '))
  makeCertificate('one', 'hooks.example.com')
  makeCertificate('two', 'hooks.example.org')
  system = await System.start({
    rules: null,
    threads: 2,
    // A connection that a slow machine leaves aside stays; who is slow on purpose meets a deadline of its own below.
    httpSettings: `read_deadline = "2m", require_https = true, ${certificates()}`,
  })
})
after(async () => {
  await system?.stop()
  rmSync(folder, { recursive: true, force: true })
})

// One POST over a connection of its own, or of `agent`: { status, body, headers }.
function post(webhook, options = {}) {
  return new Promise((done, failed) => {
    const { module = https, ...more } = options
    const request = module.request({
      host: '127.0.0.1', port: system.port, method: 'POST', path: '/webhooks/support', headers: { ...webhook.headers, 'content-length': Buffer.byteLength(webhook.body), ...more.extra },
      rejectUnauthorized: false, servername: 'hooks.example.com', ...more,
    }, (response) => {
      let body = ''
      response.on('data', (data) => (body += data))
      response.on('end', () => done({ status: response.statusCode, body, headers: response.headers }))
    })
    request.on('error', failed)
    request.end(webhook.body)
  })
}

// The name of the certificate that a client is given; throws when the handshake fails.
async function certificateOf(servername, options = {}) {
  const socket = tls.connect({ host: '127.0.0.1', port: system.port, servername, rejectUnauthorized: false, ...options })
  try {
    await once(socket, 'secureConnect')
    return { subject: socket.getPeerCertificate().subject.CN, serial: socket.getPeerCertificate().serialNumber, protocol: socket.getProtocol(), cipher: socket.getCipher().name }
  } finally {
    socket.destroy()
  }
}

test('a webhook by HTTPS is stored', async () => {
  assert.equal((await post(support.sign({ type: 'x', n: 1 }))).status, 200)
  assert.equal(await system.value(`SELECT count(*)::int FROM webhook`), 1)
})

test('the name that a client asks for chooses the certificate', async () => {
  assert.equal((await certificateOf('hooks.example.com')).subject, 'hooks.example.com')
  assert.equal((await certificateOf('hooks.example.org')).subject, 'hooks.example.org')
  assert.equal((await certificateOf('other.example.net')).subject, 'hooks.example.com')
  assert.equal((await certificateOf(undefined)).subject, 'hooks.example.com')
})

test('TLS 1.2 and 1.3 with forward secrecy, and nothing older', async () => {
  assert.equal((await certificateOf('hooks.example.com')).protocol, 'TLSv1.3')
  const older = await certificateOf('hooks.example.com', { maxVersion: 'TLSv1.2' })
  assert.equal(older.protocol, 'TLSv1.2')
  assert.match(older.cipher, /^ECDHE-.*(GCM|POLY1305)/)
  await assert.rejects(certificateOf('hooks.example.com', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }))
  await assert.rejects(certificateOf('hooks.example.com', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }))
  await assert.rejects(certificateOf('hooks.example.com', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' }))
})

test('plain HTTP on the port of HTTPS is told so', async () => {
  const answer = await post(support.sign({ type: 'x' }), { module: http })
  assert.equal(answer.status, 400)
  assert.match(answer.body, /HTTPS/)
  assert.equal(await system.value(`SELECT count(*)::int FROM webhook`), 1)
})

test('certificates are exchanged by SIGHUP while a connection goes on', async () => {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 })
  const sockets = new Set()
  const send = () => post(support.sign({ type: 'x' }), { agent })
  agent.on('free', (socket) => sockets.add(socket))
  assert.equal((await send()).status, 200)
  const former = (await certificateOf('hooks.example.org')).serial
  makeCertificate('two', 'hooks.example.org')
  system.nodes[0].kill('SIGHUP')
  await until('the new certificate', async () => (await certificateOf('hooks.example.org')).serial !== former)
  for (let i = 0; i < 5; i++) assert.equal((await send()).status, 200)
  assert.equal(sockets.size, 1, 'all requests went by one connection')

  const good = (await certificateOf('hooks.example.com')).serial
  writeFileSync(join(folder, 'one.pem'), 'nothing of use')
  system.nodes[0].kill('SIGHUP')
  await until('the complaint', () => /certificates cannot be used, the former ones stay/.test(system.nodes[0].log))
  assert.equal((await certificateOf('hooks.example.com')).serial, good)
  assert.equal((await send()).status, 200)
  agent.destroy()
})

test('a client that is slow in the handshake or after it is cut off at the deadline', async () => {
  makeCertificate('one', 'hooks.example.com')
  const strict = await System.start({ rules: null, threads: 2, httpSettings: `read_deadline = "1s", require_https = true, ${certificates()}` })
  try {
    const silent = net.connect(strict.port, '127.0.0.1')
    const started = net.connect(strict.port, '127.0.0.1')
    started.write(Buffer.from('16030100', 'hex')) // the first bytes of a handshake
    const late = tls.connect({ host: '127.0.0.1', port: strict.port, rejectUnauthorized: false })
    late.write('POST /webhooks/support HTTP/1.1\r\nHost: x\r\n')
    const sockets = [silent, started, late]
    const elsewhere = net.connect(system.port, '127.0.0.1') // where two minutes are allowed
    for (const socket of [...sockets, elsewhere]) socket.on('error', () => {}).resume()
    await until('all to be cut off', () => sockets.every((socket) => socket.closed), 60000)
    assert.equal(elsewhere.closed, false)
    elsewhere.destroy()
  } finally {
    await strict.stop()
  }
})

test('the certificate that ends first is in the metrics', async () => {
  const metrics = await (await fetch(`${system.admin}/metrics`)).text()
  const lines = metrics.split('\n').filter((line) => line.startsWith('answerd_tls_certificate_expires_seconds{'))
  assert.equal(lines.length, 2)
  for (const line of lines) {
    const days = (Number(line.split(' ').pop()) - Date.now() / 1000) / 86400
    assert.ok(days > 28 && days < 31, line)
  }
})

test('behind a proxy: only what a trusted one says counts', async () => {
  const behind = await System.start({ rules: null, httpSettings: 'trusted_proxies = { "127.0.0.2", "10.0.0.0/8" }, require_https = true', ingestSettings: 'refusals_per_minute = 3' })
  try {
    const send = (from, extra, webhook = support.sign({ type: 'x' })) => post(webhook, { module: http, port: behind.port, localAddress: from, extra })
    assert.equal((await send('127.0.0.2', { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.5' })).status, 200)
    for (const [from, extra] of [
      ['127.0.0.2', {}], // the proxy says nothing
      ['127.0.0.2', { 'x-forwarded-proto': 'http' }],
      ['127.0.0.2', { 'x-forwarded-proto': 'https, http' }],
      ['127.0.0.1', { 'x-forwarded-proto': 'https' }], // anybody can say so
    ]) {
      assert.equal((await send(from, extra)).status, 403, JSON.stringify([from, extra]))
    }
    assert.equal(await behind.value('SELECT count(*)::int FROM webhook'), 1)

    // The limit of refusals is the client's, not the proxy's.
    const forged = { body: '{}', headers: { 'content-type': 'application/json' } }
    const from = (address) => ({ 'x-forwarded-proto': 'https', 'x-forwarded-for': `192.0.2.99, ${address}, 10.1.2.3` })
    for (let i = 0; i < 3; i++) assert.equal((await send('127.0.0.2', from('203.0.113.6'), forged)).status, 401)
    const limited = await send('127.0.0.2', from('203.0.113.6'), forged)
    assert.equal(limited.status, 429)
    assert.ok(Number(limited.headers['retry-after']) >= 1)
    assert.equal((await send('127.0.0.2', from('203.0.113.6'))).status, 429, 'a genuine one of that address, too')
    assert.equal((await send('127.0.0.2', from('203.0.113.7'))).status, 200)
    await until('the log', () => /webhook refused.*peer=203\.0\.113\.6/.test(behind.nodes[0].log))
    const putOff = /webhook put off" source=support peer=203\.0\.113\.6 wait_ms=\d+ reason="too many refusals of one address" hint="[^"]*http\.trusted_proxies"/
    await until('the log', () => putOff.test(behind.nodes[0].log))
  } finally {
    await behind.stop()
  }
})

test('a configuration that refuses everything is refused', async () => {
  await assert.rejects(System.start({ rules: null, httpSettings: 'require_https = true' }), /require_https would refuse everything/)
})

test('a certificate that is over is told by check and by serve, and does not keep it from serving', async () => {
  execFileSync('faketime', ['-f', '-100d', 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
    '-subj', '/CN=hooks.example.com', '-keyout', join(folder, 'over.key'), '-out', join(folder, 'over.pem')], { stdio: 'ignore' })
  const late = await System.start({ rules: null, httpSettings: `tls = { certificate = "${folder}/over.pem", key = "${folder}/over.key" }` })
  try {
    const { code, stdout, stderr } = await run(['check', '--config', late.config], { env: late.environment() })
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout + stderr, /warning: the certificate '.*over\.pem' is not valid any more, for (69|70) days\nHINT: renew it/)
    assert.match(late.nodes[0].log, /level=error .*"a certificate is not valid any more" file=".*over\.pem" days=(69|70) hint="providers refuse to connect: .*SIGHUP"/)
  } finally {
    await late.stop()
  }
})

test('certificates that cannot be used are found before anything starts, by check as well as by serve', async () => {
  const config = join(folder, 'wrong.lua')
  const http = `http {\n  listen = "127.0.0.1:1", admin = "127.0.0.1:1",\n  tls = {\n    certificate = { "one.pem", "two.pem", "none.pem" },\n    key = { "one.key", "one.key", "two.key" },\n  },\n}\n`
  writeFileSync(config, http)
  for (const args of [['check', '--config', config], ['serve', '--config', config]]) {
    const { code, stdout, stderr } = await run(args)
    const told = (stdout + stderr).match(/^.*wrong\.lua:4: error: .*$/gm)
    assert.equal(told?.length, 2, stdout + stderr)
    assert.match(told[0], /one\.key.*two\.pem|two\.pem.*one\.key|one\.key/)
    assert.match(told[1], /none\.pem/)
    assert.equal(code, args[0] === 'check' ? 1 : 3)
  }
})
