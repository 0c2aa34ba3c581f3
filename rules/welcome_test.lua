local order = { order = { id = "cs_1", reference = "A-17", amount = 4900, currency = "usd" } }

test("welcomes on Telegram", function(t)
  t:contact { name = "Grace", telegram = "777", email = "grace@example.com" }
  t:event("order.completed", order)
  t:expect_sent { template = "welcome", channel = "telegram", contains = { "Welcome, Grace!", "A-17" } }
end)

test("welcomes on the channel that the customer prefers", function(t)
  t:contact { name = "Grace", telegram = "777", whatsapp = "15550100", prefer = "whatsapp" }
  t:event("order.completed", order)
  t:expect_sent { template = "welcome", channel = "whatsapp" }
end)

test("welcomes on WhatsApp who has no Telegram", function(t)
  t:contact { name = "Grace", whatsapp = "15550100", window = "closed" }
  t:event("order.completed", order)
  t:expect_sent { template = "welcome", channel = "whatsapp", approved_name = "welcome_v1" }
end)

test("leaves nothing open, and asks for no rating", function(t)
  t:contact { name = "Grace", telegram = "777" }
  t:event("order.completed", order)
  t:expect_sent { template = "welcome" }
  t:expect_nothing()
  t:expect_conversation { topic = "orders", reference = "A-17", state = "resolved" }
  t:message("Thank you! Where is it?")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:expect_conversation { topic = "support", state = "open" }
end)
