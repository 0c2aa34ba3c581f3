// A private PostgreSQL that a test may kill, stop, fill up, copy to a standby and promote. Unix sockets only: nobody else
// on the machine may connect.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { until } from './system.mjs'

const binaries = '/usr/lib/postgresql/15/bin'
const isRoot = process.getuid() === 0

// PostgreSQL refuses to run as root: as root, its commands run as the user that its package made.
const postgres = isRoot ? await idsOf('postgres') : {}
async function idsOf(user) {
  const [, , uid, gid] = readFileSync('/etc/passwd', 'utf8').split('\n').find((line) => line.startsWith(user + ':')).split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

async function command(program, args, options = {}) {
  const child = spawn(program, args, { cwd: '/', env: { PATH: process.env.PATH, HOME: '/tmp', LC_ALL: 'C.UTF-8' }, stdio: ['ignore', 'pipe', 'pipe'], ...options })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (said += data))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${said}`)
  return said
}
const asPostgres = (name, args, options) => command(join(binaries, name), args, { ...postgres, ...options })

export class Cluster {
  // options: settings (of postgresql.conf), space (bytes: its files lie on a file system of that size, made for it; needs
  // the right to mount), ownClock (setClock() may set it)
  static async create(options = {}) {
    const cluster = new Cluster()
    await cluster.#makeFolder(options)
    if (options.ownClock) cluster.clock = join(cluster.folder, 'clock')
    cluster.setClock(0)
    await asPostgres('initdb', ['-D', cluster.data, '-U', 'answerd', '-E', 'UTF8', '--lc-collate=C', '--lc-ctype=C.UTF-8', '--auth=peer', '--wal-segsize=1', '-N'])
    const user = isRoot ? ['root', 'postgres'] : [(await command('id', ['-un'])).trim()]
    writeFileSync(join(cluster.data, 'pg_ident.conf'), user.flatMap((name) => [`project ${name} answerd`, `project ${name} answerd_app`]).join('\n') + '\n')
    writeFileSync(join(cluster.data, 'pg_hba.conf'), 'local all all peer map=project\nlocal replication all peer map=project\n')
    cluster.configure({ fsync: 'off', max_wal_size: '48MB', min_wal_size: '8MB', shared_buffers: '32MB', max_connections: '100', ...options.settings })
    return cluster
  }

  async #makeFolder(options) {
    this.folder = mkdtempSync('/tmp/answerd-pg-')
    this.socket = join(this.folder, 's')
    this.mount = options.space ? join(this.folder, 'm') : null
    if (this.mount) {
      mkdirSync(this.mount)
      await command('mount', ['-t', 'tmpfs', '-o', `size=${options.space}`, 'answerd-test', this.mount])
    }
    mkdirSync(this.socket)
    this.data = join(this.mount ?? this.folder, 'data')
    this.log = join(this.folder, 'log')
    if (isRoot) for (const folder of [this.folder, this.socket, this.mount ?? this.folder]) chownSync(folder, postgres.uid, postgres.gid)
  }

  // The settings that are said last hold.
  configure(settings) {
    const all = { listen_addresses: "''", unix_socket_directories: `'${this.socket}'`, unix_socket_permissions: '0777', ...settings }
    const text = Object.entries(all).map(([name, value]) => `${name} = ${/^[a-z0-9_.-]+$/i.test(value) ? `'${value}'` : value}`).join('\n')
    writeFileSync(join(this.data, 'postgresql.auto.conf'), text + '\n', { flag: 'a' })
  }

  // A standby of this one, streaming, not started yet.
  async standby(settings = {}) {
    const other = new Cluster()
    await other.#makeFolder({})
    await asPostgres('pg_basebackup', ['-h', this.socket, '-U', 'answerd', '-D', other.data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'])
    other.configure({ primary_conninfo: `'host=${this.socket} user=answerd application_name=standby'`, ...settings })
    return other
  }

  // How many seconds its clock is ahead of this machine's from now on, with Debian's faketime; what it waits for goes on as it was.
  setClock(seconds) {
    if (this.clock) writeFileSync(this.clock, `${seconds < 0 ? '' : '+'}${seconds}s\n`)
  }

  get pid() {
    return Number(readFileSync(join(this.data, 'postmaster.pid'), 'utf8').split('\n')[0])
  }

  async isRunning() {
    try {
      await asPostgres('pg_ctl', ['-D', this.data, 'status'])
      return true
    } catch {
      return false
    }
  }

  async start() {
    const environment = { PATH: process.env.PATH, HOME: '/tmp', LC_ALL: 'C.UTF-8' }
    if (this.clock) {
      const [library] = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`).filter(existsSync)
      if (!library) throw new Error('a cluster with a clock of its own needs the package faketime')
      Object.assign(environment, { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: this.clock, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' })
    }
    await asPostgres('pg_ctl', ['-D', this.data, '-w', '-t', '60', '-l', this.log, 'start'], { stdio: 'ignore', env: environment })
  }

  async stop(mode = 'fast') {
    if (await this.isRunning()) await asPostgres('pg_ctl', ['-D', this.data, '-w', '-m', mode, 'stop'])
  }

  async promote() {
    await asPostgres('pg_ctl', ['-D', this.data, '-w', 'promote'])
  }

  // Every process of the cluster: the postmaster leads a group of its own, its children each one too.
  async #signalAll(name) {
    const postmaster = this.pid
    const children = (await command('ps', ['-o', 'pid=', '--ppid', String(postmaster)]).catch(() => '')).trim().split(/\s+/).filter(Boolean).map(Number)
    for (const pid of [postmaster, ...children]) {
      try {
        process.kill(pid, name)
      } catch {
        // it has ended meanwhile
      }
    }
  }

  // As when the machine is gone: nobody says goodbye.
  async kill() {
    if (!(await this.isRunning())) return
    await this.#signalAll('SIGKILL')
    await until('PostgreSQL to be gone', async () => !(await this.isRunning()))
    rmSync(join(this.data, 'postmaster.pid'), { force: true })
  }

  freeze() {
    return this.#signalAll('SIGSTOP')
  }

  thaw() {
    return this.#signalAll('SIGCONT')
  }

  client(database = 'answerd') {
    return new pg.Client({ host: this.socket, user: 'answerd', database })
  }

  pool(database = 'answerd', max = 4) {
    const pool = new pg.Pool({ host: this.socket, user: 'answerd', database, max })
    pool.on('error', () => {}) // it is killed now and then
    return pool
  }

  async run(sql, database = 'postgres') {
    const client = this.client(database)
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }

  async remove() {
    if (existsSync(this.data)) {
      await this.thaw().catch(() => {})
      await this.stop('immediate').catch(() => this.kill())
    }
    // A process that was killed may still be on its way out.
    if (this.mount) await until('the file system to be free', async () => (await command('umount', [this.mount])) !== undefined)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

// Whether this machine lets us mount a small file system, to fill it.
export async function canMount() {
  const cluster = mkdtempSync('/tmp/answerd-mount-')
  try {
    await command('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'answerd-test', cluster])
    await command('umount', [cluster])
    return true
  } catch {
    return false
  } finally {
    rmSync(cluster, { recursive: true, force: true })
  }
}
