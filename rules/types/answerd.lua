---@meta
-- What rules can use, for editors with the Lua language server. Not run, not part of the rules.

---@class Message
---@field id string
---@field kind "text"|"image"|"video"|"audio"|"document"|"sticker"|"location"|"contacts"|"order"|"button"|"system"|"unsupported"
---@field text string?
---@field media { id: string?, url: string?, mime_type: string?, file_name: string?, voice: boolean? }?
---@field location table?
---@field contacts table[]?
---@field button { id: string, text: string }?
---@field reply_to string?
---@field referral table?
---@field emoji string?

---@class Payment
---@field id string
---@field amount integer in the currency's smallest unit
---@field currency string
---@field reason string?
---@field attempt integer?
---@field next_attempt number? seconds since 1970
---@field url string?
---@field invoice string?
---@field customer string?
---@field subscription string?
---@field status string?
---@field description string?
---@field metadata table<string, string>?
---@field reference string? what is owed: the invoice, else the order or subscription, else the payment itself
---@field secondary boolean? repeats what another event says

---@class Order
---@field id string
---@field amount integer
---@field currency string
---@field customer string?
---@field reference string?
---@field payment_status string?
---@field metadata table<string, string>?

---@class Subscription
---@field id string
---@field status string
---@field previous_status string?
---@field cancel_at_period_end boolean?
---@field customer string?

---@class Survey
---@field name string
---@field score integer?
---@field scale integer
---@field comment string?
---@field state "asked"|"answered"|"commented"|"expired"|"canceled"
---@field asked_at number
---@field answered_at number?

---@class Outreach
---@field topic string
---@field reference string
---@field goal string
---@field state "active"|"recovered"|"exhausted"|"canceled"
---@field step integer
---@field started_at number

---@class Contact
---@field id integer
---@field name string?
---@field language string?
---@field timezone string?
---@field preferred_channel string?
---@field attributes table<string, any>
---@field opted_out string[]
---@field identities string[]
---@field channels string[]
---@field created_at number
local Contact = {}
---@param key string name, language, timezone, or an attribute
function Contact:set(key, value) end
---@param identity string such as "email:ada@example.com"
function Contact:identify(identity) end
---@param topic string? all topics when left out
function Contact:opt_out(topic) end
---@param topic string?
function Contact:opt_in(topic) end
---@param channel string
function Contact:prefer(channel) end
---@param limit integer?
---@return Conversation[] newest first
function Contact:conversations(limit) end
---@param kind string such as "email"
---@return string?
function Contact:identity(kind) end
---@param channel string
---@return boolean
function Contact:can_reach(channel) end
---@param topic string
---@return boolean
function Contact:has_opted_out(topic) end

---@class SendOptions
---@field text string?
---@field template string?
---@field media { kind: "image"|"video"|"audio"|"document"|"sticker", url: string?, id: string?, caption: string?, file_name: string? }?
---@field vars table<string, string|number|boolean>?
---@field buttons (string|{ id: string?, text: string, url: string? })[]?
---@field language string?
---@field quiet "respect"|"ignore"|nil
---@field on_unknown "hold"|"resend"|"give_up"|nil
---@field reply_to string?

---@class Conversation
---@field id integer?
---@field topic string
---@field reference string
---@field state "open"|"pending"|"snoozed"|"resolved"
---@field priority "low"|"normal"|"high"|"urgent"
---@field assignee string?
---@field tags string[]
---@field attributes table<string, any>
---@field channel string?
---@field opened_at number
---@field last_inbound_at number?
---@field last_outbound_at number?
---@field first_reply_at number?
---@field resolved_at number?
---@field episode integer
---@field is_new boolean? of fx:open_conversation: it was not there before
local Conversation = {}
---@param options SendOptions|string
function Conversation:send(options) end
---@param text string
function Conversation:note(text) end
---@param ... string
function Conversation:tag(...) end
---@param ... string
function Conversation:untag(...) end
---@param assignee string?
function Conversation:assign(assignee) end
---@param key string
function Conversation:set(key, value) end
---@param value string|number a duration, or a time
function Conversation:snooze(value) end
function Conversation:resolve() end
---@param name string
function Conversation:survey(name) end
---@param delay string|number
---@param name string of the event timer.NAME
---@param options { unless: string|string[]|nil, data: table? }?
function Conversation:after(delay, name, options) end
---@param name string
function Conversation:cancel(name) end
---@param limit integer?
---@return table[] oldest first
function Conversation:history(limit) end
---@param tag string
---@return boolean
function Conversation:has_tag(tag) end

---@class Event
---@field id integer
---@field type string
---@field source string
---@field channel string
---@field provider_type string?
---@field key string
---@field occurred_at number
---@field received_at number
---@field contact Contact
---@field conversation Conversation
---@field conversations Conversation[]
---@field message Message
---@field payment Payment
---@field order Order
---@field subscription Subscription
---@field status { message_id: string, state: string, error: { code: string, title: string?, detail: string? }? }
---@field template { name: string, language: string, status: string, reason: string? }
---@field survey Survey
---@field outreach Outreach
---@field timer { name: string, data: table, due_at: number }
---@field body table
---@field cause { event: integer, rule: string?, depth: integer }
local Event = {}
---@return table|string|nil
function Event:raw() end

---@class OutreachStep
---@field after string|number|nil from the start of the outreach
---@field template string?
---@field text string?
---@field note string?
---@field assign string?
---@field channel string?
---@field quiet "respect"|"ignore"|nil
---@field language string?
---@field buttons table?
---@field vars table?

---@class Effects
local Effects = {}
---@param options { topic: string?, channel: string?, reference: string?, tags: string[]?, priority: "low"|"normal"|"high"|"urgent"|nil, reopen: string|number|nil }?
---@return Conversation
function Effects:open_conversation(options) end
---@param options { topic: string, reference: string?, goal: string, steps: OutreachStep[], vars: table?, next_attempt: number?, grace: string|number|nil }
function Effects:outreach(options) end
---@param endpoint string
---@param body table?
---@param options { type: string? }?
function Effects:webhook(endpoint, body, options) end
---@param name string of the event custom.NAME
---@param body table?
---@param options { contact: string|table|nil }?
function Effects:emit(name, body, options) end
function Effects:stop() end

---@class Rule
---@field name string
---@field doc string?
---@field on string|string[]
---@field when (fun(e: Event): any)?
---@field run fun(e: Event, fx: Effects)
---@field priority integer?
---@field enabled boolean?
---@field budget { sends_per_hour: integer?, sends_per_minute: integer?, sends_per_contact_per_day: integer? }?

---@param declaration Rule
function rule(declaration) end

---@param name string
---@return fun(declaration: { text: string|table<string, string>|nil, languages: table?, buttons: table?, default_language: string?, variables: string[]?, category: string?, topic: string?, on_unknown: string?, whatsapp: table?, doc: string? })
function template(name) end

---@param name string
---@return fun(declaration: { question: string|table, scale: integer?, labels: table?, thanks: string|table|nil, ask_comment: string|table|nil, expires: string?, comment_within: string?, cooldown: string?, template: string?, words: table<string, integer>?, doc: string? })
function survey(name) end

---@param name string
---@return fun(declaration: { url: any, secret: any, secrets: any, timeout: string?, doc: string? })
function endpoint(name) end

---@param name string
---@return fun(declaration: { schedule: string?, every: string?, timezone: string?, missed: "skip"|"run_once"|"once"|nil, doc: string? })
function cron(name) end

---@class Calendar
---@operator call(table): nil
local Calendar = {}
---@param at number
---@return boolean
function Calendar:open(at) end
---@param at number
---@return number?
function Calendar:next_open(at) end
---@param at number
---@return number?
function Calendar:next_close(at) end
---@param at number
---@param duration string|number
---@return number
function Calendar:add(at, duration) end
---@param first number
---@param last number
---@return number
function Calendar:between(first, last) end

---@param name string
---@return Calendar
function calendar(name) end

---@param name string
---@param default string?
function env(name, default) end
---@param path string
---@param default string?
function file(path, default) end

---@param name string
---@return table
function data(name) end
---@return number
function now() end
---@param low integer?
---@param high integer?
---@return number
function random(low, high) end
---@param amount integer
---@param currency string
---@return string
function money(amount, currency) end
---@param text string|number
---@return number
function duration(text) end
---@param count number
---@return number
function seconds(count) end
---@param count number
---@return number
function minutes(count) end
---@param count number
---@return number
function hours(count) end
---@param count number
---@return number
function days(count) end
---@param format string
---@param at number
---@param zone string?
---@return string
function date(format, at, zone) end
---@param at number
---@param zone string?
---@return { year: integer, month: integer, day: integer, hour: integer, min: integer, sec: integer, weekday: integer, offset: integer }
function local_time(at, zone) end
---@param text string?
---@param ... string|string[]
---@return string?
function has(text, ...) end
---@param text string?
---@param ... string|string[]
---@return string?
function is(text, ...) end
---@param list table?
---@return table
function array(list) end
function log(...) end

---@class Test
local Test = {}
---@param fields table
---@return table
function Test:contact(fields) end
---@param message string|table
---@return string
function Test:message(message) end
---@param fields table|string
function Test:edit(fields) end
---@param fields table?
function Test:delete(fields) end
---@param button string|integer|table
function Test:tap(button) end
---@param type string
---@param fields table?
function Test:event(type, fields) end
---@param state string
---@param fields table?
function Test:status(state, fields) end
---@param verb "reply"|"note"|"tag"|"untag"|"assign"|"resolve"|"survey"
---@param value string?
function Test:agent(verb, value) end
---@param duration string|number
function Test:advance(duration) end
---@param time string|number
function Test:at(time) end
---@return number
function Test:now() end
---@param state "open"|"closed"
---@param fields table?
function Test:window(state, fields) end
---@param fields table|string|nil
---@return table
function Test:expect_sent(fields) end
function Test:expect_nothing() end
---@param fields table?
function Test:expect_held(fields) end
---@param fields table|false
---@return table
function Test:expect_conversation(fields) end
---@param fields table|false
---@return table
function Test:expect_survey(fields) end
---@param fields table|false
---@return table
function Test:expect_outreach(fields) end
---@param fields table|false
---@return table
function Test:expect_contact(fields) end
---@param fields table|string
---@return table
function Test:expect_note(fields) end
---@param fields table|false
---@return table
function Test:expect_timer(fields) end
---@param fields table|false
---@return table
function Test:expect_message(fields) end
---@param fields table|false
---@return table
function Test:expect_webhook(fields) end
---@param effect string|table
---@param fields table?
---@return table
function Test:expect_effect(effect, fields) end
---@param event string|table
---@return table
function Test:expect_event(event) end
---@param fields table|string
function Test:expect_error(fields) end

---@param name string
---@param run fun(t: Test)
function test(name, run) end
