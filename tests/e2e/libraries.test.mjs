// Libraries that are too old or known to be broken: refused by the build, and by a program that was built with better ones.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { program, project } from './support/system.mjs'

let folder
before(() => (folder = mkdtempSync(join(tmpdir(), 'answerd-libraries-'))))
after(() => rmSync(folder, { recursive: true, force: true }))

// The program with a library that says it is of this version: a function that comes before the library's own.
function start(args, code) {
  writeFileSync(join(folder, 'other.c'), code)
  execFileSync('gcc', ['-shared', '-fPIC', '-o', join(folder, 'other.so'), join(folder, 'other.c')])
  return spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LD_PRELOAD: join(folder, 'other.so'), ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0` } })
}

test('a program that is started with a library that will not do says so and ends', () => {
  const old = 'const char *jansson_version_str(void) { return "2.13.1"; }'
  for (const command of ['serve', 'migrate', 'check']) {
    const { status, stderr } = start([command], old)
    assert.match(stderr, /jansson is 2\.13\.1, and at least 2\.14 is needed: .*\nHINT: /)
    assert.equal(status, 70)
  }
  const broken = start(['serve'], 'static const struct { int age; const char *version; } info = { 0, "8.9.0" };\nconst void *curl_version_info(int age) { (void)age; return &info; }')
  assert.match(broken.stderr, /curl 8\.9\.0 is known to spin/)
  assert.equal(broken.status, 70)
  // Who wants to know what is loaded is told.
  const version = start(['version'], old)
  assert.match(version.stdout, /^jansson 2\.13\.1$/m)
  assert.equal(version.status, 0)
})

test('the build refuses a library that will not do', () => {
  for (const [name, version, words] of [['jansson', '2.13', /jansson>=2\.14/], ['libcurl', '8.9.0', /libcurl 8\.9\.0 spins/], ['libpq', '13.0', /libpq>=14/]]) {
    writeFileSync(join(folder, `${name}.pc`), `Name: ${name}\nDescription: pretends\nVersion: ${version}\nLibs:\nCflags:\n`)
    const { status, stdout, stderr } = spawnSync('cmake', ['-G', 'Ninja', '-S', project, '-B', join(folder, `build-${name}`), '-DBUILD_TESTING=OFF'], { encoding: 'utf8', env: { ...process.env, PKG_CONFIG_PATH: folder } })
    assert.notEqual(status, 0, `${name} ${version}`)
    assert.match(stdout + stderr, words)
    rmSync(join(folder, `${name}.pc`))
  }
})
