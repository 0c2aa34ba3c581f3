// Ports for servers under test. They lie below those that the system gives to outgoing connections, and a process gives
// none twice: a port that is only asked for and closed again may be somebody else's a moment later.

import { createServer } from 'node:net'
import { once } from 'node:events'

const first = 20000
const count = 12000
let next = (process.pid * 37) % count

export async function freePort() {
  for (let tries = 0; tries < count; tries++) {
    const port = first + next
    next = (next + 1) % count
    const server = createServer()
    server.listen(port, '127.0.0.1')
    const listening = await once(server, 'listening').then(() => true, () => false)
    if (!listening) continue
    server.close()
    await once(server, 'close')
    return port
  }
  throw new Error('no port is free')
}
