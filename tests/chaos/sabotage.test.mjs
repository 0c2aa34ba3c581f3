// The harness is worth what it finds: each promise is broken once, in the database of a scratch fleet, and the rounds have to
// fail with the words that name it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const harness = join(dirname(fileURLToPath(import.meta.url)), 'chaos.mjs')

async function findings(name, faults) {
  const child = spawn(process.execPath, [harness, '--sabotage', name, '--seed', '5', '--rounds', '6', '--faults', faults], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ANSWERD_PATIENCE: '0.2' }, // what is stuck is not waited for as long as elsewhere
  })
  let said = ''
  child.stdout.on('data', (data) => (said += data))
  const [code] = await once(child, 'close')
  assert.equal(code, 1, `nobody noticed:\n${said}`)
  return said
}

for (const { name, faults, says } of [
  { name: 'duplicates', faults: 'none', says: /handled twice: the event|lost or doubled: .* too often/ },
  { name: 'blind_resend', faults: 'provider', says: /sent twice: / },
  { name: 'ledger', faults: 'none', says: /ledger: / },
  { name: 'lost_work', faults: 'none', says: /lost: event \d+ .* was never handled/ },
  { name: 'half_effects', faults: 'none', says: /effects: the note '.*' is missing/ },
  { name: 'erase', faults: 'none', says: /erased: event still knows/ },
  { name: 'traces', faults: 'none', says: /no trace: event \d+ has no trace of rule/ },
  { name: 'send_order', faults: 'provider', says: /order: '.*' was sent after/ },
  { name: 'resend_order', faults: 'kill,provider', says: /order: / },
  { name: 'lanes', faults: 'none', says: /handled twice: |order: / },
  { name: 'stuck_recipients', faults: 'none', says: /stuck: / },
]) {
  test(`${name.replaceAll('_', ' ')}: what is broken is found`, { timeout: 900000 }, async (t) => {
    const said = await findings(name, faults)
    assert.match(said, says)
    t.diagnostic(said.split('\n').find((line) => says.test(line)).trim())
  })
}
