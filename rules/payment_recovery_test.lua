local function failed(extra)
  local payment = {
    invoice = "in_1", amount = 1900, currency = "usd", attempt = 1, url = "https://pay.example.com/in_1",
  }
  for key, value in pairs(extra or {}) do
    payment[key] = value
  end
  return { payment = payment }
end

test("writes at once, in free words while the window is open", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", failed())
  t:expect_sent {
    template = "payment_failed", to = "whatsapp:15550100", approved = false,
    text = "Hi Ada, we noticed a payment issue with your subscription. Can we help resolve this?",
  }
  t:expect_outreach { state = "active", reference = "in_1" }
end)

test("a payment without a link is told at once; only the reminder, which needs the link, is left out", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", { payment = { invoice = "in_1", amount = 1900, currency = "usd", attempt = 1 } })
  t:expect_sent { template = "payment_failed" }
  t:advance("24h")
  t:expect_nothing()
  t:advance("48h")
  t:expect_note("Not reached by message; please call.")
end)

test("uses the approved template when the window is closed", function(t)
  t:contact { name = "Ada", whatsapp = "15550100", window = "closed" }
  t:event("payment.failed", failed())
  t:expect_sent { approved = true, approved_name = "payment_failed_v1", parameters = { "Ada" } }
end)

test("writes on the channel that the customer prefers", function(t)
  t:contact { name = "Ada", whatsapp = "15550100", telegram = "42", prefer = "telegram" }
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed", channel = "telegram" }
end)

test("reaches who has never written to us: by the phone number of the payment", function(t)
  t:event("payment.failed", { payment = failed().payment, contact = { phone = "+1 555 0199", name = "Alan" } })
  t:expect_sent {
    to = "whatsapp:15550199", approved = true, approved_name = "payment_failed_v1", parameters = { "Alan" },
  }
end)

test("reaches who has never written to us: by the handle in the payment's metadata", function(t)
  t:event("payment.failed", { payment = failed().payment, contact = { stripe = "cus_1", telegram = "42" } })
  t:expect_sent { template = "payment_failed", to = "telegram:42" }
end)

test("reminds after a day, unless it was paid", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed" }
  t:advance("23h")
  t:expect_nothing()
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:expect_outreach { state = "recovered" }
  t:advance("72h")
  t:expect_nothing()
  t:expect_conversation { state = "resolved", tags = { "recovered" } }
end)

test("reminds after a day, and asks a person after three", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed" }
  t:advance("24h")
  t:expect_sent { template = "payment_reminder", contains = { "$19.00", "https://pay.example.com/in_1" } }
  t:advance("48h")
  t:expect_nothing()
  t:expect_conversation { topic = "billing", assignee = "billing" }
end)

test("tells it once: not for the second attempt, not for the same failure seen twice", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed" }
  t:event("payment.failed", failed { attempt = 2 })
  t:event("payment.failed", failed { secondary = true })
  t:event("payment.action_required", failed())
  t:expect_nothing()
  t:expect_outreach { count = 1 }
end)

-- Stripe tells of one failed renewal as an invoice, and as a payment that does not say for which invoice it was.
local bare = { payment = { id = "pi_1", amount = 1900, currency = "usd" } }

test("tells it once when the provider names the payment and its invoice in different events", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", bare)
  t:expect_sent { template = "payment_failed" }
  t:advance("1m")
  t:event("payment.failed", failed())
  t:expect_nothing()
  t:expect_outreach { count = 1, reference = "pi_1", other_references = { "in_1" } }
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:expect_outreach { state = "recovered" }
end)

test("tells of two invoices of one price, and of the next payment of that price", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed" }
  t:event("payment.failed", failed { invoice = "in_2" })
  t:expect_sent { template = "payment_failed" }
  t:advance("11m")
  t:event("payment.failed", bare)
  t:expect_sent { template = "payment_failed" }
  t:expect_outreach { count = 3, state = "active" }
end)

test("an order without an invoice is recovered by its payment", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", { payment = { id = "pay_1", order = "order_1", amount = 500, currency = "eur" } })
  t:expect_outreach { state = "active", reference = "order_1" }
  t:event("payment.succeeded", { payment = { id = "pay_2", order = "order_1", amount = 500, currency = "eur" } })
  t:expect_outreach { state = "recovered" }
end)

test("keeps a conversation open in which the customer has answered", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed" }
  t:advance("1h")
  t:message("Which card did you use?")
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:expect_conversation { topic = "billing", state = "open", tags = { "recovered" } }
end)

test("does not write to who has opted out", function(t)
  t:contact { name = "Ada", whatsapp = "15550100", opted_out = "all" }
  t:event("payment.failed", failed())
  t:expect_nothing()
end)

test("says nothing when the payment was made before its failure arrived", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:event("payment.failed", failed())
  t:expect_nothing()
  t:expect_outreach(false)
end)

test("speaks up when the money is taken back later", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:advance("2d")
  t:event("payment.failed", failed())
  t:expect_sent { template = "payment_failed" }
end)
