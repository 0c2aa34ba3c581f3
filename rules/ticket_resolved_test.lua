local function ticket(customer)
  return { body = { type = "ticket.resolved", data = { ticket = "T-1", customer = customer } }, contact = false }
end

test("a resolved ticket resolves the customer's conversation, and a rating is asked for", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("My order is missing")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:event("webhook.support", ticket { whatsapp = "+1 555 0100" })
  t:expect_conversation { state = "resolved" }
  t:expect_note { text = "Ticket T-1 was resolved." }
  t:expect_sent { survey = "csat" }
end)

test("the customer is found by e-mail as well", function(t)
  t:contact { name = "Ada", telegram = "42", email = "ada@example.com" }
  t:message("My order is missing")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:event("webhook.support", ticket { email = "Ada@Example.com" })
  t:expect_conversation { state = "resolved" }
end)

test("other events of the support tool mean nothing to us", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("My order is missing")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:event("webhook.support", { body = { type = "ticket.created", data = {} }, contact = false })
  t:expect_conversation { state = "open" }
end)

test("a ticket of nobody we could know is no mistake", function(t)
  for _, customer in ipairs { {}, { email = "" }, { phone = "unknown" } } do
    t:event("webhook.support", ticket(customer))
    t:expect_effect("emit", { refused = "the contact has no identity" })
  end
end)
