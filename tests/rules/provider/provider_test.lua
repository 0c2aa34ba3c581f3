test("a refused message is told to rules like a failure that is reported later", function(t)
  t:contact { telegram = "1" }
  t:provider("refuses", { code = 403, reason = "bot was blocked" })
  t:message "hi"
  t:expect_nothing()
  t:expect_message { direction = "out", state = "failed", error_code = "403", reason = "bot was blocked" }
  t:expect_note "not delivered: 403"
  t:provider "works"
  t:message "hi again"
  t:expect_sent "Hello"
end)

test("one that is refused once is not refused twice", function(t)
  t:contact { telegram = "1" }
  t:provider("refuses", { count = 1 })
  t:message "a"
  t:expect_nothing()
  t:message "b"
  t:expect_sent "Hello"
end)

test("an outreach goes on by another channel when the provider refuses", function(t)
  t:contact { whatsapp = "15550100", telegram = "1", prefer = "whatsapp" }
  t:provider("refuses", { channel = "whatsapp", code = "131026" })
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_sent { template = "reminder", channel = "telegram" }
  t:expect_outreach { state = "active", step = 1 }
end)

test("an outreach goes on by another channel when a window is closed that no template opens", function(t)
  t:contact { messenger = "77", telegram = "1", prefer = "messenger" }
  t:provider("down", { channel = "messenger" })
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_nothing()
  t:window "closed"
  t:advance "1m"
  t:expect_held { reason = "window is closed" }
  t:expect_sent { template = "reminder", channel = "telegram" }
end)

test("a failure that is reported later, and a message that was read all the same", function(t)
  t:contact { whatsapp = "15550100", telegram = "1", prefer = "whatsapp" }
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_sent { channel = "whatsapp" }
  t:status("failed", { code = "131026" })
  t:expect_sent { channel = "telegram" }
  t:status("read", { of = 1 })
  t:expect_message { source = "whatsapp", state = "read" }
  t:expect_nothing()
end)

test("what a provider that is down has not taken leaves when it works again", function(t)
  t:contact { telegram = "1" }
  t:provider "down"
  t:message "hi"
  t:advance "30m"
  t:expect_nothing()
  t:expect_message { direction = "out", state = "queued" }
  t:provider "works"
  t:advance "1m"
  t:expect_sent "Hello"
  t:expect_nothing()
end)

test("nothing leaves after the goal, although it waited for its provider", function(t)
  t:contact { telegram = "1" }
  t:provider "down"
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:advance "10m"
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:provider "works"
  t:advance "1d"
  t:expect_nothing()
  t:expect_outreach { state = "recovered" }
end)

test("what may not leave says why in the server's words", function(t)
  t:contact { whatsapp = "15550100" }
  t:message "hi"
  t:expect_sent "Hello"
  t:window "closed"
  t:event("message.received", { message = { id = "m2", kind = "system", text = "changed their number" } })
  t:expect_held { reason = "the provider's window is closed" }
  t:expect_note "not sent: window_closed"
  t:expect_message { state = "blocked", error_code = "window_closed" }
end)

test("an opt-out is told before the window", function(t)
  t:contact { whatsapp = "15550100" }
  t:provider "down"
  t:message "hi"
  t:window "closed"
  t:event("custom.stop")
  t:provider "works"
  t:advance "1m"
  t:expect_held { reason = "opted out" }
  t:expect_note "not sent: opted_out"
end)

test("nothing more goes to a number that is not on WhatsApp, until it writes", function(t)
  t:contact { whatsapp = "15550100" }
  t:message "hi"
  t:expect_sent "Hello"
  t:status("failed", { code = "131026" })
  t:event("custom.greet_again")
  t:expect_nothing()
  t:message "hi again"
  t:expect_sent "Hello"
end)

test("what WhatsApp refuses for its window goes as the approved template, once", function(t)
  t:contact { name = "Ada", whatsapp = "15550100", telegram = "1", prefer = "whatsapp" }
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_sent { template = "reminder", channel = "whatsapp", approved = false }
  t:status("failed", { code = 131047 })
  t:expect_sent { template = "reminder", channel = "whatsapp", approved = true, parameters = { "Ada" }, rule = "remind" }
  t:status("failed", { code = 131047, of = 1 })
  t:expect_nothing()
  t:expect_message { state = "failed", error_code = "131047", count = 1 }
  t:status("delivered")
  t:expect_outreach { state = "active", step = 1 }
  t:advance "1h"
  t:expect_sent { text = "Again", channel = "telegram" }
end)

test("the other channel is left when the template is refused as well", function(t)
  t:contact { whatsapp = "15550100", telegram = "1", prefer = "whatsapp" }
  t:provider("refuses", { channel = "whatsapp", code = "131047" })
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_sent { template = "reminder", channel = "telegram" }
  t:expect_message { source = "whatsapp", state = "failed", count = 2 }
end)

test("no template goes for a goal that was reached, or to who has opted out", function(t)
  t:contact { whatsapp = "15550100" }
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_sent { template = "reminder" }
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:status("failed", { code = 131047 })
  t:expect_nothing()
  t:event("payment.failed", { payment = { invoice = "in_2" } })
  t:expect_sent { template = "reminder" }
  t:event("custom.stop")
  t:status("failed", { code = 131047 })
  t:expect_nothing()
end)

test("a text has nothing that could go instead", function(t)
  t:contact { whatsapp = "15550100" }
  t:message "hi"
  t:expect_sent "Hello"
  t:status("failed", { code = 131047 })
  t:expect_nothing()
  t:expect_note "not delivered: 131047"
end)

test("the question of a survey goes as its approved template, its other words do not", function(t)
  t:contact { whatsapp = "15550100", telegram = "1", prefer = "telegram" }
  t:message { text = "hi", channel = "whatsapp" }
  t:expect_sent "Hello"
  t:event("custom.ask")
  t:expect_sent { survey = "rating", channel = "whatsapp", approved = false }
  t:status("failed", { code = 131047 })
  t:expect_sent { survey = "rating", channel = "whatsapp", approved = true, approved_name = "rate_us_v1", rule = "ask" }
  t:status("failed", { code = 131047 })
  t:expect_nothing()
  t:message { text = "3", channel = "whatsapp" }
  t:expect_survey { name = "rating", state = "answered", score = 3 }
  t:expect_sent "Thanks!"
  t:status("failed", { code = 131047 })
  t:expect_nothing()
end)

test("only the refusal of the window is answered by a template", function(t)
  t:contact { whatsapp = "15550100" }
  t:event("payment.failed", { payment = { invoice = "in_1" } })
  t:expect_sent { template = "reminder", approved = false }
  t:status("failed", { code = 131049 })
  t:expect_nothing()
  t:expect_message { state = "failed", error_code = "131049" }
end)

test("what goes beyond a budget is held, and the team is told once an hour", function(t)
  local people = {}
  for number = 1, 4 do
    people[number] = t:contact { telegram = tostring(number) }
    t:event("custom.offer", { contact = people[number], body = { number = 1 } })
  end
  t:expect_sent { text = "Something new.", to = people[1] }
  t:expect_sent { text = "Something new.", to = people[2] }
  t:expect_nothing()
  t:expect_held { reason = "more than 2 messages of this rule in an hour" }
  t:expect_held {}
  t:expect_message { of = people[3], state = "queued", reason = "held: more than 2 messages of this rule in an hour" }
  t:expect_webhook { endpoint = "team", body = { problem = "sends_held", rule = "offer" } }
  t:expect_webhook(false)
  t:advance "1h"
  t:event("custom.offer", { contact = people[1], body = { number = 2 } })
  t:expect_held { reason = "more than 1 message of this rule to this contact in a day" }
  t:expect_nothing()
  t:event("order.completed", { contact = people[3], order = { id = "o1", reference = "1" } })
  t:expect_message { of = people[3], state = "canceled" }
end)
