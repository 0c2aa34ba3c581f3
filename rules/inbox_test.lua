-- Other rules may write as well, before or after: these tests count the acknowledgements and leave the rest alone.
local acknowledgement = { template = "inbox_acknowledgement" }

test("opens a conversation and acknowledges the first message", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Hello, are you there?")
  t:expect_message { content = acknowledgement, state = "sent", contains = "Hi Ada", count = 1 }
  t:expect_conversation { state = "open", topic = "support", channel = "whatsapp" }
end)

test("says it once, however much is written", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Hello?")
  t:message("Hello??")
  t:message { kind = "image", media = { kind = "image", id = "m1" } }
  t:expect_message { content = acknowledgement, state = "sent", count = 1 }
  t:expect_conversation { topic = "support", count = 1 }
end)

test("answers in the customer's language", function(t)
  t:contact { name = "Ada", telegram = "42", language = "de-CH" }
  t:message("Hallo")
  t:expect_message { content = acknowledgement, state = "sent", contains = "danke für deine Nachricht" }
end)

test("greets a stranger without a name", function(t)
  t:message { from = "telegram:42", text = "hi" }
  t:expect_message { of = "telegram:42", content = acknowledgement, state = "sent", contains = "Hi there" }
end)

test("reopens within a day, and opens a new one after that", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("It is broken")
  t:agent("resolve")
  t:advance("2h")
  t:message("It is broken again")
  t:expect_message { content = acknowledgement, state = "sent", count = 1 }
  t:expect_conversation { topic = "support", count = 1 }
  t:expect_conversation { state = "open" }
  t:agent("resolve")
  t:advance("3d")
  t:message("Something else")
  t:expect_message { content = acknowledgement, state = "sent", count = 2 }
  t:expect_conversation { topic = "support", count = 2 }
end)
