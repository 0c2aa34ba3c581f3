// A worker thread that posts forged webhooks at a steady rate: so the thread that posts the genuine ones is not the one that
// floods. workerData: { url, body, headers, rate }; messages in: { count }; out, when all are answered: { status: count }.

import http from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'

const { url, body, headers, rate } = workerData
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })

function post() {
  return new Promise((done) => {
    http.request(url, { method: 'POST', agent, headers: { ...headers, 'content-length': Buffer.byteLength(body) } }, (answer) => {
      answer.resume()
      answer.on('end', () => done(answer.statusCode))
    }).on('error', (error) => done(error.code)).end(body)
  })
}

parentPort.on('message', ({ count }) => {
  const began = performance.now()
  const posted = []
  const timer = setInterval(async () => {
    for (; posted.length < count && began + posted.length * (1000 / rate) <= performance.now();) posted.push(post())
    if (posted.length < count) return
    clearInterval(timer)
    const answers = {}
    for (const status of await Promise.all(posted)) answers[status] = (answers[status] ?? 0) + 1
    parentPort.postMessage(answers)
  }, 5)
})
