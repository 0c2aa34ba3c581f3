// The part of JSON Schema that our OpenAPI description uses.

const kinds = {
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
}
const known = new Set(['type', 'enum', 'required', 'properties', 'additionalProperties', 'items', 'allOf', '$ref', 'minimum', 'maximum',
  'minLength', 'maxLength', 'pattern', 'format', 'description', 'default', 'examples'])

function resolve(document, reference) {
  return reference.slice(2).split('/').reduce((value, key) => value[key], document)
}

// Where `value` breaks `schema`: a list of texts, empty when it does not.
export function violations(document, schema, value, path = '$') {
  for (const word of Object.keys(schema)) if (!known.has(word)) return [`${path}: the schema says '${word}', which nobody checks`]
  if (schema.$ref) return violations(document, resolve(document, schema.$ref), value, path)
  const found = (schema.allOf ?? []).flatMap((part) => violations(document, part, value, path))
  const types = schema.type === undefined ? [] : [schema.type].flat()
  if (types.length && !types.some((type) => kinds[type](value))) return [...found, `${path}: ${JSON.stringify(value)} is no ${types.join(' or ')}`]
  if (schema.enum && !schema.enum.includes(value)) found.push(`${path}: ${JSON.stringify(value)} is none of ${schema.enum}`)
  if (schema.minimum !== undefined && value < schema.minimum) found.push(`${path}: ${value} is less than ${schema.minimum}`)
  if (schema.format === 'date-time' && value !== null && Number.isNaN(Date.parse(value))) found.push(`${path}: '${value}' is no time`)
  if (kinds.object(value)) {
    for (const key of schema.required ?? []) if (!(key in value)) found.push(`${path}: '${key}' is missing`)
    for (const [key, part] of Object.entries(schema.properties ?? {})) {
      if (key in value) found.push(...violations(document, part, value[key], `${path}.${key}`))
    }
    if (schema.additionalProperties === false) {
      for (const key of Object.keys(value)) if (!(key in (schema.properties ?? {}))) found.push(`${path}: '${key}' is not described`)
    }
  }
  if (Array.isArray(value) && schema.items) value.forEach((item, index) => found.push(...violations(document, schema.items, item, `${path}[${index}]`)))
  return found
}

// The description of one call: the operation, and what it says of the answer with this status.
export function operationOf(document, method, path) {
  for (const [pattern, item] of Object.entries(document.paths)) {
    const expression = new RegExp('^' + pattern.replace(/[.]/g, '\\.').replace(/\{[a-z]+\}/g, '[^/]+') + '$')
    if (expression.test(path.split('?')[0]) && item[method.toLowerCase()]) return item[method.toLowerCase()]
  }
  return null
}

export function answerSchema(document, operation, status) {
  let answer = operation.responses[status]
  if (answer?.$ref) answer = resolve(document, answer.$ref)
  return answer?.content['application/json'].schema ?? null
}
