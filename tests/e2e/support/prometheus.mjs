// The text format of Prometheus, version 0.0.4, read strictly, and the metrics that a PromQL expression names.

const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const label = /^[a-zA-Z_][a-zA-Z0-9_]*$/
const number = /^[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+|Inf|NaN)$/

function readNumber(text, line) {
  if (!number.test(text)) throw new Error(`no number: ${line}`)
  return Number(text.replace('Inf', 'Infinity'))
}

// `{a="b",c="d"}` at `at`: { labels, end }
function readLabels(line, at) {
  const labels = {}
  at++
  while (line[at] !== '}') {
    const equals = line.indexOf('=', at)
    const key = line.slice(at, equals)
    if (equals < 0 || !label.test(key) || key in labels || line[equals + 1] !== '"') throw new Error(`bad labels: ${line}`)
    let value = ''
    for (at = equals + 2; line[at] !== '"'; at++) {
      if (at >= line.length) throw new Error(`open quote: ${line}`)
      if (line[at] === '\\') {
        at++
        if (!'\\"n'.includes(line[at] ?? '?')) throw new Error(`bad escape: ${line}`)
        value += line[at] === 'n' ? '\n' : line[at]
      } else {
        value += line[at]
      }
    }
    labels[key] = value
    at++
    if (line[at] === ',') at++
    else if (line[at] !== '}') throw new Error(`bad labels: ${line}`)
  }
  return { labels, end: at + 1 }
}

function checkHistogram(family) {
  const groups = new Map()
  for (const { suffix, labels, value } of family.samples) {
    const { le, ...rest } = labels
    const key = JSON.stringify(rest)
    const group = groups.get(key) ?? { buckets: [] }
    groups.set(key, group)
    if (suffix === '_bucket') group.buckets.push([readNumber(le, family.name), value])
    else group[suffix] = value
  }
  for (const [key, { buckets, _sum, _count }] of groups) {
    const where = `${family.name}${key}`
    if (_sum === undefined || _count === undefined || buckets.length === 0) throw new Error(`incomplete histogram ${where}`)
    for (let i = 1; i < buckets.length; i++) {
      if (buckets[i][0] <= buckets[i - 1][0]) throw new Error(`buckets out of order in ${where}`)
      if (buckets[i][1] < buckets[i - 1][1]) throw new Error(`buckets are not cumulative in ${where}`)
    }
    const [bound, total] = buckets[buckets.length - 1]
    if (bound !== Infinity || total !== _count) throw new Error(`+Inf is not the count in ${where}`)
  }
}

// Map of name -> { name, help, type, samples: [{ name, suffix, labels, value }] }; throws at the first thing that is wrong.
export function parseMetrics(text) {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const families = new Map()
  const series = new Set()
  let family
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line)
    if (comment) {
      const [, kind, of, rest] = comment
      if (!name.test(of)) throw new Error(`bad name: ${line}`)
      if (kind === 'HELP') {
        if (families.has(of)) throw new Error(`the family comes twice: ${line}`)
        if (rest.trim() === '') throw new Error(`no help: ${line}`)
        family = { name: of, help: rest, samples: [] }
        families.set(of, family)
      } else {
        if (family?.name !== of || family.type || family.samples.length) throw new Error(`TYPE out of place: ${line}`)
        if (!['counter', 'gauge', 'histogram'].includes(rest)) throw new Error(`bad type: ${line}`)
        family.type = rest
      }
      continue
    }
    if (line.startsWith('#') || line === '') throw new Error(`neither comment nor sample: '${line}'`)
    const bare = /^[^{ ]+/.exec(line)?.[0] ?? ''
    if (!name.test(bare)) throw new Error(`bad name: ${line}`)
    const { labels, end } = line[bare.length] === '{' ? readLabels(line, bare.length) : { labels: {}, end: bare.length }
    if (line[end] !== ' ') throw new Error(`no space before the value: ${line}`)
    const value = readNumber(line.slice(end + 1), line)
    if (!family?.type) throw new Error(`sample without HELP and TYPE: ${line}`)
    const suffix = bare.slice(family.name.length)
    const allowed = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    if (!bare.startsWith(family.name) || !allowed.includes(suffix)) throw new Error(`sample of another family: ${line}`)
    if ((suffix === '_bucket') !== ('le' in labels)) throw new Error(`le where it does not belong: ${line}`)
    if (family.type === 'counter' && !(value >= 0)) throw new Error(`negative counter: ${line}`)
    const key = bare + JSON.stringify(Object.entries(labels).sort())
    if (series.has(key)) throw new Error(`the series comes twice: ${line}`)
    series.add(key)
    family.samples.push({ name: bare, suffix, labels, value })
  }
  for (const one of families.values()) if (one.type === 'histogram') checkHistogram(one)
  return families
}

const words = new Set(`sum min max avg count by without on ignoring group_left group_right and or unless offset bool rate irate increase
  histogram_quantile time absent`.split(/\s+/))

// What an expression asks for: [{ name, labels: [names of labels it selects or groups by] }].
export function metricsOf(expression) {
  const found = []
  const grouped = [...expression.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, list]) => list.split(',').map((one) => one.trim()))
  const rest = expression.replace(/\b(?:by|without)\s*\([^)]*\)/g, ' ').replace(/\[[^\]]*\]/g, ' ').replace(/\boffset\s+\w+/g, ' ')
  for (const [, metric, selector] of rest.matchAll(/([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?/g)) {
    if (words.has(metric)) continue
    if (selector === undefined && /^(and|or)$/.test(metric)) continue
    const selected = [...(selector ?? '').matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(([, key]) => key)
    found.push({ name: metric, labels: selected, grouped })
  }
  // Words inside of quotes are values of labels, not metrics.
  return found
}
