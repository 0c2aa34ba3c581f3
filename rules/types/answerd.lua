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
---@field emoji string? of a reaction
---@field buttons table[]?
---@field forwarded boolean?
---@field thread string?
---@field chat string?
---@field edited boolean?
---@field author string?
---@field products table[]?
---@field payload string?
---@field attachment table?
---@field metadata table?
---@field quick_replies table[]?
---@field direction string? "out" for what was sent with another tool
---@field flow table?
---@field error table? of a message of the kind unsupported
---@field removed boolean? the reaction was taken back
---@field album string?
---@field callback_query_id string?
---@field command string?
---@field command_arguments string?
---@field order table?

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
---@field method string?
---@field code string?
---@field message string?
---@field due_at number?
---@field number string?
---@field billing_reason string?
---@field card_brand string?
---@field custom table?
---@field collection_method string?
---@field session string?
---@field dunning_status string?
---@field will_retry boolean?
---@field order string?
---@field dispute string?
---@field intent string?
---@field mandate string?
---@field modification string?
---@field refund string?

---@class Order
---@field id string
---@field amount integer
---@field currency string
---@field customer string?
---@field reference string?
---@field payment_status string?
---@field metadata table<string, string>?
---@field items table[]?
---@field url string?
---@field invoice string?
---@field subscription string?
---@field status string?
---@field payment string?
---@field mode string?

---@class Subscription
---@field id string
---@field status string
---@field previous_status string?
---@field cancel_at_period_end boolean?
---@field customer string?
---@field plan string?
---@field metadata table<string, string>?
---@field cancel_at number?
---@field canceled_at number?
---@field ended_at number?
---@field current_period_start number?
---@field current_period_end number?
---@field trial_end number?
---@field next_billing_at number?
---@field url string?
---@field reason string?
---@field feedback string?
---@field currency string?
---@field invoice string?
---@field mandate string?

---@class Survey
---@field name string
---@field score integer?
---@field scale integer
---@field comment string?
---@field state "asked"|"answered"|"commented"|"expired"|"canceled"
---@field asked_at number
---@field answered_at number?
---@field id integer
---@field conversation_id integer
---@field contact_id integer
---@field episode integer
---@field commented_at number?
---@field expires_at number?

---@class Outreach
---@field topic string
---@field reference string
---@field goal string
---@field state "active"|"recovered"|"exhausted"|"canceled"
---@field step integer
---@field started_at number
---@field id integer
---@field goals string[]
---@field steps table[]
---@field vars table<string, string>
---@field reached_at number?
---@field next_attempt_at number?
---@field ended_at number?
---@field ended_by integer?
---@field event_id integer?
---@field rule string?
---@field conversation_id integer?
---@field contact_id integer
---@field other_references string[]
---@field payment table

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
---@field opted_out_at number?
---@field username string?
---@field recipient string?
---@field updated_at number
---@field parent_user_id string?
---@field phones string[]?
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

---@class Media
---@field kind "image"|"video"|"audio"|"document"|"sticker"
---@field url string?
---@field id string?
---@field caption string?
---@field file_name string?

---@class SendOptions
---@field text string?
---@field template string?
---@field media Media?
---@field vars table<string, string|number|boolean>?
---@field buttons (string|{ id: string?, text: string, url: string? })[]?
---@field language string?
---@field quiet "respect"|"ignore"|nil
---@field on_unknown "hold"|"resend"|"give_up"|nil
---@field reply_to string?

---@class AfterOptions
---@field unless string|string[]|nil "reply", or types of events that make it pointless
---@field data table?

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
---@field contact_id integer
---@field source string?
---@field identity string?
---@field updated_at number
---@field snoozed_until number?
---@field previous_id integer?
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
---@param priority "low"|"normal"|"high"|"urgent"
function Conversation:prioritize(priority) end
---@param key string
function Conversation:set(key, value) end
---@param value string|number a duration, or a time
function Conversation:snooze(value) end
function Conversation:resolve() end
---@param name string
function Conversation:survey(name) end
---@param delay string|number
---@param name string of the event timer.NAME
---@param options AfterOptions?
function Conversation:after(delay, name, options) end
---@param name string
function Conversation:cancel(name) end
---@param limit integer?
---@return table[] oldest first
function Conversation:history(limit) end
---@param tag string
---@return boolean
function Conversation:has_tag(tag) end

---@class Status
---@field message_id string
---@field state "sent"|"delivered"|"read"|"played"|"failed"|"blocked"
---@field echo string?
---@field error { code: string, title: string?, detail: string? }?
---@field pricing table?
---@field recipient string?
---@field participant string?
---@field up_to number?

---@class TemplateStatus
---@field name string
---@field language string
---@field status string
---@field reason string?
---@field detail string?
---@field category string?

---@class Timer
---@field id integer
---@field name string
---@field data table
---@field unless string[]
---@field due_at number
---@field armed_at number
---@field rule string?
---@field rule_set string?

---@class Cause
---@field event integer
---@field rule string?
---@field depth integer

---@class Settled
---@field type string
---@field occurred_at number
---@field event integer

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
---@field status Status
---@field template TemplateStatus
---@field survey Survey
---@field outreach Outreach
---@field timer Timer
---@field body table
---@field cause Cause
---@field settled Settled? of payment.failed and payment.action_required: what paid it, when this event arrived late
---@field provider string?
---@field contact_id integer?
---@field conversation_id integer?
---@field cron table
---@field window table?
---@field topic string? of contact.opted_out and contact.opted_in
---@field account string? the provider's id of our side
---@field provider_reason string?
---@field agent string?
local Event = {}
---@return table|string|nil
function Event:raw() end

---@class OutreachStep
---@field after string|number|nil from the start of the outreach
---@field template string?
---@field text string?
---@field note string?
---@field assign string?
---@field channel string? or "other": one on which this outreach has not written
---@field quiet "respect"|"ignore"|nil
---@field language string?
---@field buttons table?
---@field vars table?

---@class OutreachOptions
---@field topic string
---@field reference string?
---@field goal string? the event that ends it
---@field goals string[]? the events that end it, instead of goal
---@field steps OutreachStep[]
---@field vars table<string, string|number|boolean>?
---@field next_attempt number?
---@field grace string|number|nil how long it waits for its goal after the last step

---@class OpenOptions
---@field topic string?
---@field channel string?
---@field reference string?
---@field tags string|string[]|nil
---@field priority "low"|"normal"|"high"|"urgent"|nil
---@field reopen string|number|nil

---@class WebhookOptions
---@field type string?

---@class EmitOptions
---@field contact string|table|nil

---@class Effects
local Effects = {}
---@param options OpenOptions?
---@return Conversation
function Effects:open_conversation(options) end
---@param options OutreachOptions
function Effects:outreach(options) end
---@param endpoint string
---@param body table?
---@param options WebhookOptions?
function Effects:webhook(endpoint, body, options) end
---@param name string of the event custom.NAME
---@param body table?
---@param options EmitOptions?
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
---@param verb "reply"|"note"|"tag"|"untag"|"assign"|"prioritize"|"resolve"|"survey"
---@param value string?
function Test:agent(verb, value) end
---@param state "works"|"down"|"refuses"
---@param fields { channel: string?, code: string|integer|nil, reason: string?, count: integer? }?
function Test:provider(state, fields) end
---@param duration string|number
function Test:advance(duration) end
---@param time string|number
function Test:at(time) end
---@param name string
function Test:cron(name) end
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
