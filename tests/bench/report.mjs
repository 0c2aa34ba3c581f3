// The table: what was measured, what it is compared with, the target, and whether it is met.

const number = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

export function show(value) {
  if (typeof value !== 'number') return value ?? ''
  return Math.abs(value) >= 100 ? number.format(value) : value.toLocaleString('en-US', { maximumSignificantDigits: 3 })
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

// Of the processors' time: above this the figures are those of a smaller machine.
const mostForOthers = 0.05

export class Report {
  rows = []
  taken = {} // of the processors' time, by row: what the host took while it was measured, and what others did right before it

  // One line. `ratio` is of values measured in the same round; `target` is { least: N } or { most: N } for the ratio
  // when there is one, else for the value.
  add(row) {
    const judged = row.ratio ?? row.value
    const { least, most } = row.target ?? {}
    const met = row.target ? (least === undefined || judged >= least) && (most === undefined || judged <= most) : undefined
    this.rows.push({ ...row, met })
  }

  print() {
    const lines = this.rows.map((row) => [
      row.part,
      row.what,
      `${show(row.value)} ${row.unit}`,
      row.against ? `${row.against}: ${show(row.other)}` : '',
      row.ratio === undefined ? '' : show(row.ratio),
      row.target ? (row.target.least !== undefined ? `>= ${show(row.target.least)}` : `<= ${show(row.target.most)}`) : '',
      row.met === undefined ? '' : row.met ? 'met' : 'MISSED',
      row.spread ?? '',
    ])
    lines.unshift(['', 'what', 'answerd', 'compared with', 'ratio', 'target', '', 'rounds'])
    const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)))
    console.log()
    for (const line of lines) console.log(line.map((cell, i) => cell.padEnd(widths[i])).join('  ').trimEnd())
    const missed = this.rows.filter((row) => row.met === false).length
    const judged = this.rows.filter((row) => row.met !== undefined).length
    console.log(`\n${judged - missed} of ${judged} targets met${missed ? `, ${missed} missed` : ''}`)
    this.printTaken()
  }

  // Who else had the processors, so that a reader knows what the figures are worth.
  printTaken() {
    if (Object.keys(this.taken).length === 0) return
    const percent = (share) => `${show(share * 100)} %`
    const list = (of) => Object.entries(this.taken).map(([name, taken]) => `${name} ${percent(taken[of])}`).join(', ')
    console.log(`processors' time that the host took meanwhile: ${list('host')}`)
    console.log(`processors' time that others used right before: ${list('others')}`)
    const worthless = Object.keys(this.taken).filter((name) => Object.values(this.taken[name]).some((share) => share > mostForOthers))
    if (worthless.length > 0) console.log(`WARNING: more than ${percent(mostForOthers)} of it was not for ${worthless.join(', ')}: measure again on a quiet machine`)
  }
}

// What the rounds gave, so that a reader sees how steady they were.
export const spread = (values) => values.map((v) => show(v)).join(' ')
