// A worker thread that posts forged webhooks at a steady rate while it is told to: so the thread that measures is not the one
// that floods. workerData: { url, body, headers, rate }; messages in: "start", "stop"; out: { answers: { status: count } }.

import http from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'

const { url, body, headers, rate } = workerData
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
let answers = {}
let waiting = 0
let timer
let due
let stopped

function post() {
  waiting++
  const end = (status) => {
    answers[status] = (answers[status] ?? 0) + 1
    if (--waiting === 0) stopped?.()
  }
  http.request(url, { method: 'POST', agent, headers: { ...headers, 'content-length': Buffer.byteLength(body) } }, (answer) => {
    answer.resume()
    answer.on('end', () => end(answer.statusCode))
  }).on('error', (error) => end(error.code)).end(body)
}

parentPort.on('message', async (what) => {
  if (what === 'start') {
    due = performance.now()
    timer = setInterval(() => {
      for (; due <= performance.now(); due += 1000 / rate) post()
    }, 5)
  } else {
    clearInterval(timer)
    if (waiting > 0) await new Promise((done) => (stopped = done))
    stopped = undefined
    parentPort.postMessage({ answers })
    answers = {}
  }
})
