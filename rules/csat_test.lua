local function resolved_conversation(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("My order is missing")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:agent("resolve")
  t:expect_sent { survey = "csat", contains = "How did we do?" }
end

test("asks when a support conversation is resolved; a tap and a comment are taken, and reopen nothing", function(t)
  resolved_conversation(t)
  t:tap(4)
  t:expect_survey { state = "answered", score = 4 }
  t:expect_sent { contains = "Would you like to tell us why?" }
  t:message("Quick and friendly!")
  t:expect_survey { score = 4, comment = "Quick and friendly!" }
  t:expect_sent { contains = "Thanks for telling us." }
  t:expect_nothing()
  t:expect_conversation { state = "resolved", count = 1 }
end)

test("takes a number as an answer", function(t)
  resolved_conversation(t)
  t:message("5")
  t:expect_survey { state = "answered", score = 5 }
end)

test("marks a conversation that was rated low", function(t)
  resolved_conversation(t)
  t:tap(1)
  t:expect_conversation { tags = { "unhappy" } }
  t:expect_note { text = "Rated 1 of 5. Please have a look at what went wrong." }
end)

test("asks nobody who has never written, and nobody about other topics", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:event("payment.failed", { payment = { invoice = "in_1", attempt = 1 } })
  t:expect_sent { template = "payment_failed" }
  t:agent("resolve")
  t:expect_nothing()
end)

test("asks nobody whose conversation is tagged no-survey", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Hello")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:agent("tag", "no-survey")
  t:agent("resolve")
  t:expect_nothing()
end)

test("asks with the approved template when the window is closed", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("My order is missing")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:advance("2d")
  t:agent("resolve")
  t:expect_sent { survey = "csat", approved = true, approved_name = "csat_v1", parameters = { "Ada" } }
  t:message("4, and thank you!")
  t:expect_survey { score = 4, comment = "and thank you!" }
end)
