// The same job as ingest's, written with Fastify and pg: the signature over the raw bytes in constant time, webhook, event
// and work in one transaction with a unique key against duplicates, and 200 after the commit. One worker for each core.
//
//   node server.mjs PORT [batched]
//
// batched: what waits for the database is stored together, by one statement. Few write it like that; it shows what is left
// of the difference then.

import { createHmac, timingSafeEqual } from 'node:crypto'
import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'
import Fastify from 'fastify'
import pg from 'pg'

const port = Number(process.argv[2])
const batched = process.argv[3] === 'batched'
const secret = process.env.WHATSAPP_APP_SECRET

if (cluster.isPrimary) {
  for (let i = 0; i < availableParallelism(); i++) cluster.fork()
  process.on('SIGTERM', () => process.exit(0))
} else {
  await serve()
}

function isGenuine(body, header) {
  if (typeof header !== 'string' || !/^sha256=[0-9a-f]{64}$/.test(header)) return false
  const expected = createHmac('sha256', secret).update(body).digest()
  return timingSafeEqual(Buffer.from(header.slice(7), 'hex'), expected)
}

// What happened, in the words of the tables: one event for each message and status.
function eventsOf(body) {
  const events = []
  for (const entry of body.entry ?? []) {
    for (const { value } of entry.changes ?? []) {
      const names = new Map((value.contacts ?? []).map((c) => [c.wa_id, c.profile?.name]))
      for (const message of value.messages ?? []) {
        events.push({
          type: 'message.received',
          key: `message:${message.id}`,
          doc: {
            provider: 'whatsapp',
            occurred_at: new Date(Number(message.timestamp) * 1000).toISOString(),
            contact: { identity: `whatsapp:${message.from}`, name: names.get(message.from) },
            message: { id: message.id, kind: message.type, text: message.text?.body },
            raw: message,
          },
        })
      }
      for (const status of value.statuses ?? []) {
        events.push({ type: 'message.status', key: `status:${status.id}:${status.status}`, doc: { provider: 'whatsapp', raw: status } })
      }
    }
  }
  return events
}

const storeOne = {
  name: 'store',
  text: `WITH w AS (
           INSERT INTO webhook (source, headers, body) VALUES ('whatsapp', $1, $2) RETURNING id
         ), e AS (
           INSERT INTO event (webhook_id, source, type, key, doc)
           SELECT w.id, 'whatsapp', g.type, g.key, g.doc
             FROM w, unnest($3::text[], $4::text[], $5::jsonb[]) AS g (type, key, doc)
           ON CONFLICT (source, key) DO NOTHING
           RETURNING id
         )
         INSERT INTO work (event_id) SELECT id FROM e`,
}

const storeMany = {
  name: 'store_many',
  text: `WITH w AS (
           INSERT INTO webhook (source, headers, body)
           SELECT 'whatsapp', g.headers, g.body FROM unnest($1::jsonb[], $2::bytea[]) WITH ORDINALITY AS g (headers, body, n) ORDER BY n
           RETURNING id
         ), numbered AS (
           SELECT id, row_number() OVER (ORDER BY id) AS n FROM w
         ), e AS (
           INSERT INTO event (webhook_id, source, type, key, doc)
           SELECT numbered.id, 'whatsapp', g.type, g.key, g.doc
             FROM unnest($3::int[], $4::text[], $5::text[], $6::jsonb[]) AS g (n, type, key, doc) JOIN numbered USING (n)
            ORDER BY g.key
           ON CONFLICT (source, key) DO NOTHING
           RETURNING id
         )
         INSERT INTO work (event_id) SELECT id FROM e`,
}

function storeByOne(pool) {
  return (headers, body, events) =>
    pool.query({
      ...storeOne,
      values: [headers, body, events.map((e) => e.type), events.map((e) => e.key), events.map((e) => JSON.stringify(e.doc))],
    })
}

function storeByBatch(pool) {
  let waiting = []
  let flying = 0
  async function fly() {
    const batch = waiting.splice(0, 128)
    flying++
    const events = batch.flatMap(({ events }, i) => events.map((e) => ({ n: i + 1, ...e })))
    try {
      await pool.query({
        ...storeMany,
        values: [batch.map((b) => b.headers), batch.map((b) => b.body), events.map((e) => e.n), events.map((e) => e.type),
          events.map((e) => e.key), events.map((e) => JSON.stringify(e.doc))],
      })
      for (const { resolve } of batch) resolve()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
    flying--
    if (waiting.length > 0) fly()
  }
  return (headers, body, events) =>
    new Promise((resolve, reject) => {
      waiting.push({ headers, body, events, resolve, reject })
      if (flying === 0) fly()
    })
}

async function serve() {
  const pool = new pg.Pool({ max: Number(process.env.POOL ?? 16) })
  const store = (batched ? storeByBatch : storeByOne)(pool)
  const app = Fastify({ logger: false, keepAliveTimeout: 60000 })
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body))
  app.post('/webhooks/whatsapp', async (request, reply) => {
    if (!isGenuine(request.body, request.headers['x-hub-signature-256'])) return reply.code(401).send('unauthorized\n')
    await store(JSON.stringify(request.headers), request.body, eventsOf(JSON.parse(request.body)))
    return reply.code(200).send('')
  })
  await app.listen({ port, host: '127.0.0.1', backlog: 1024 })
}
