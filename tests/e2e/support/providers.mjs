// Signed webhooks as the providers send them. Where a provider publishes an SDK that signs, the SDK signs here: a signature
// that a vendor's code made is evidence, one that ours made is not.

import { createHmac, randomUUID } from 'node:crypto'
import Stripe from 'stripe'
import { Webhook } from 'standardwebhooks'
import { secrets } from './system.mjs'

const now = () => Math.floor(Date.now() / 1000)
const json = { 'content-type': 'application/json' }

export const meta = {
  sign(body, secret = secrets.WHATSAPP_APP_SECRET) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return { body: text, headers: { ...json, 'x-hub-signature-256': 'sha256=' + createHmac('sha256', secret).update(text).digest('hex') } }
  },
}

export const whatsapp = {
  sign: meta.sign,
  envelope(...values) {
    return {
      object: 'whatsapp_business_account',
      entry: [{ id: '1022', changes: values.map((value) => ({
        field: 'messages',
        value: { messaging_product: 'whatsapp', metadata: { display_phone_number: '15550783881', phone_number_id: secrets.WHATSAPP_PHONE_NUMBER_ID }, ...value },
      })) }],
    }
  },
  // One message of a customer; `content` is the message object's own part, e.g. { type: 'text', text: { body } }.
  message(from, content, { id = 'wamid.' + randomUUID(), name = 'Ada Lovelace', at = now() } = {}) {
    const message = typeof content === 'string' ? { type: 'text', text: { body: content } } : content
    return this.sign(this.envelope({
      contacts: [{ profile: { name }, wa_id: from }],
      messages: [{ from, id, timestamp: String(at), ...message }],
    }))
  },
}

export const telegram = {
  update(update) {
    return { body: JSON.stringify({ update_id: Math.floor(Math.random() * 2 ** 31), ...update }), headers: { ...json, 'x-telegram-bot-api-secret-token': secrets.TELEGRAM_SECRET_TOKEN } }
  },
  message(from, text, { name = 'Grace', id = Math.floor(Math.random() * 1e6) } = {}) {
    return this.update({ message: { message_id: id, date: now(), text, from: { id: from, is_bot: false, first_name: name, language_code: 'en' }, chat: { id: from, type: 'private', first_name: name } } })
  },
  tap(from, data) {
    return this.update({ callback_query: { id: randomUUID(), chat_instance: '1', data, from: { id: from, is_bot: false, first_name: 'Grace' }, message: { message_id: 1, date: now(), chat: { id: from, type: 'private' } } } })
  },
}

const stripeSdk = new Stripe('sk_test_unused')
export const stripe = {
  sign(body, { secret = secrets.STRIPE_SIGNING_SECRET, timestamp = now() } = {}) {
    const payload = typeof body === 'string' ? body : JSON.stringify(body)
    return { body: payload, headers: { ...json, 'stripe-signature': stripeSdk.webhooks.generateTestHeaderString({ payload, secret, timestamp }) } }
  },
  event(type, object, { id = 'evt_' + randomUUID().replaceAll('-', ''), created = now() } = {}) {
    return this.sign({ id, object: 'event', api_version: '2026-10-28.endive', created, livemode: false, pending_webhooks: 1, request: null, type, data: { object } })
  },
  invoice({ id, phone, email, customer = 'cus_' + id, amount = 1900, attempt = 1, metadata = {}, ...more }) {
    return {
      id, object: 'invoice', customer, customer_name: 'Ada Lovelace', customer_email: email ?? null, customer_phone: phone ? '+' + phone : null,
      amount_due: amount, amount_remaining: amount, amount_paid: 0, currency: 'usd', attempt_count: attempt, billing_reason: 'subscription_cycle',
      next_payment_attempt: now() + 3 * 86400, hosted_invoice_url: 'https://invoice.stripe.com/i/' + id, status: 'open',
      parent: { type: 'subscription_details', subscription_details: { subscription: 'sub_' + id, metadata } }, ...more,
    }
  },
}

export const support = {
  sign(body, { secret = secrets.SUPPORT_SIGNING_SECRET, id = 'msg_' + randomUUID(), at = new Date() } = {}) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return { body: text, headers: { ...json, 'webhook-id': id, 'webhook-timestamp': String(Math.floor(at / 1000)), 'webhook-signature': new Webhook(secret).sign(id, at, text) } }
  },
}
