// Chance that can be repeated: each part of a round has a stream of its own, so that one more draw in one part changes
// nothing in the others.

export class Random {
  #state

  constructor(...names) {
    let hash = 2166136261
    for (const character of names.join('/')) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619)
    this.#state = hash
  }

  // From 0 up to 1 (mulberry32).
  next() {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let value = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }

  chance(probability) {
    return this.next() < probability
  }

  // A whole number, both ends included.
  between(least, most) {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  of(list) {
    return list[this.between(0, list.length - 1)]
  }

  // `weights` is { name: weight }.
  choose(weights) {
    let left = this.next() * Object.values(weights).reduce((sum, weight) => sum + weight, 0)
    for (const [name, weight] of Object.entries(weights)) if ((left -= weight) < 0) return name
    return Object.keys(weights).at(-1)
  }

  shuffle(list) {
    const shuffled = [...list]
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.between(0, at)
      ;[shuffled[at], shuffled[other]] = [shuffled[other], shuffled[at]]
    }
    return shuffled
  }
}
