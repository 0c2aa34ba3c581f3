test("STOP ends all messages, and is confirmed", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Stop!")
  t:expect_sent { template = "opted_out" }
  t:expect_nothing()
  t:expect_contact { opted_out = { "all" } }
  t:event("payment.failed", { payment = { invoice = "in_1", attempt = 1 } })
  t:expect_nothing()
end)

test("STOP is understood in other languages", function(t)
  for number, word in ipairs { "ARRÊT", "Abmelden", "baja", "СТОП", "退订" } do
    local who = t:contact { whatsapp = "1555010" .. number }
    t:message { from = who, text = word }
    t:expect_sent { template = "opted_out" }
  end
end)

test("STOP inside a sentence is a question like any other", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Please don't stop my subscription")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:event("payment.failed", { payment = { invoice = "in_1", attempt = 1 } })
  t:expect_sent { template = "payment_failed" }
end)

test("START takes it back", function(t)
  t:contact { name = "Ada", whatsapp = "15550100", opted_out = "all" }
  t:message("start")
  t:expect_sent { template = "opted_in" }
  t:event("payment.failed", { payment = { invoice = "in_1", attempt = 1 } })
  t:expect_sent { template = "payment_failed" }
end)

test("START without a STOP before is a message like any other", function(t)
  t:contact { name = "Ada", telegram = "42" }
  t:message("/start")
  t:expect_sent { template = "inbox_acknowledgement" }
end)
