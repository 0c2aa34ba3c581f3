// A wire between a program and PostgreSQL that a test can cut, block, or count. It knows the protocol as far as it has to:
// where one message ends, and what kind it is (https://www.postgresql.org/docs/15/protocol-message-formats.html).

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

const requests = { encryption: 80877103, gssEncryption: 80877104, cancel: 80877102 }

// Cuts what a client sends into messages: { type, bytes }; the first one has no type, it is called 'startup'.
class Frontend {
  constructor() {
    this.rest = Buffer.alloc(0)
    this.started = false
  }

  *take(data) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, data]) : data
    for (;;) {
      const head = this.started ? 1 : 0
      if (this.rest.length < head + 4) return
      const length = head + this.rest.readInt32BE(head)
      if (this.rest.length < length) return
      const bytes = this.rest.subarray(0, length)
      this.rest = this.rest.subarray(length)
      if (this.started) yield { type: String.fromCharCode(bytes[0]), bytes }
      else {
        const code = bytes.readInt32BE(4)
        const wantsEncryption = code === requests.encryption || code === requests.gssEncryption
        this.started = !wantsEncryption
        yield { type: wantsEncryption ? 'encryption' : 'startup', bytes }
      }
    }
  }
}

// The statement that a message is about: also of one that was prepared before.
function sqlOf(connection, type, bytes) {
  if (type === 'Q') return bytes.toString('latin1', 5, bytes.length - 1)
  if (type !== 'P' && type !== 'B') return ''
  const [first, second] = bytes.toString('latin1', 5).split('\0', 2)
  if (type === 'B') return connection.statements.get(second) ?? ''
  connection.statements.set(first, second)
  return second
}

// What a server says to somebody whom it lets in: authentication done, its version, ready.
const message = (type, body) => Buffer.concat([Buffer.from(type), Buffer.from(Uint32Array.of(body.length + 4).buffer).swap32(), body])
const greeting = Buffer.concat([message('R', Buffer.alloc(4)), message('S', Buffer.from('server_version\x0015.0\0')), message('Z', Buffer.from('I'))])

const applicationOf = (startup) => {
  const words = startup.subarray(8).toString('utf8').split('\0')
  for (let at = 0; at + 1 < words.length; at += 2) if (words[at] === 'application_name' || words[at] === 'fallback_application_name') return words[at + 1]
  return ''
}

export class Link {
  // `target()` is the path of the socket to connect to, asked for each connection.
  // `message({ application, type, sql, connection })` is asked before a message of the program is passed on and may answer
  //   'cut'          the message is lost, and the connection with it
  //   'cut after'    it is passed on; the connection breaks before any answer comes back
  //   'cut within'   the answer breaks off in its middle
  //   a promise      the message waits for it; what it resolves with counts
  constructor(target, message = () => undefined) {
    this.target = target
    this.message = message
    this.connections = new Set()
    this.shut = false
    this.blocked = false // nothing is passed on any more
    this.greets = false // who connects meanwhile is let in, as by a pooler whose server hangs
  }

  async listen(port = 0) {
    this.server = createServer((client) => this.#serve(client))
    this.server.listen(port, '127.0.0.1')
    await once(this.server, 'listening')
    this.port = this.server.address().port
    return this
  }

  #serve(client) {
    if (this.shut) return client.destroy()
    const database = connect(this.target())
    const connection = { client, database, application: '', statements: new Map(), cutWithin: false, cut: () => (client.destroy(), database.destroy()) }
    this.connections.add(connection)
    for (const [one, other] of [[client, database], [database, client]]) {
      one.setNoDelay?.(true)
      one.on('error', () => {}).on('close', () => (this.connections.delete(connection), other.destroy()))
    }
    database.on('data', (data) => {
      if (this.blocked) return
      if (!connection.cutWithin) return void client.write(data)
      client.write(data.subarray(0, Math.floor(data.length / 2)), () => connection.cut())
    })
    const frontend = new Frontend()
    let turn = Promise.resolve()
    client.on('data', (data) => {
      for (const message of frontend.take(Buffer.from(data))) turn = turn.then(() => this.#pass(connection, message)).catch(() => connection.cut())
    })
  }

  async #pass(connection, { type, bytes }) {
    const { client, database } = connection
    if (database.destroyed) return
    if (type === 'encryption') return void client.write('N')
    if (type === 'startup') connection.application = applicationOf(bytes)
    const asked = this.message({ application: connection.application, type, sql: sqlOf(connection, type, bytes), connection })
    const verdict = asked instanceof Promise ? await asked : asked
    if (this.blocked && this.greets && type === 'startup') client.write(greeting)
    if (this.blocked) return
    if (verdict === 'cut') return connection.cut()
    if (verdict === 'cut within') connection.cutWithin = true
    if (verdict !== 'cut after') return void database.write(bytes)
    client.pause()
    database.removeAllListeners('data')
    database.resume()
    // What was passed on is carried out, whatever becomes of the connection.
    database.write(bytes, () => setTimeout(() => connection.cut(), 20))
  }

  cutAll() {
    for (const connection of [...this.connections]) connection.cut()
  }

  async close() {
    const closed = once(this.server, 'close')
    this.server.close()
    this.cutAll()
    await closed
  }
}
