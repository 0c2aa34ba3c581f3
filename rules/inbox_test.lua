test("opens a conversation and acknowledges the first message", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Hello, are you there?")
  t:expect_sent { template = "inbox_acknowledgement", to = "whatsapp:15550100", contains = "Hi Ada" }
  t:expect_conversation { state = "open", topic = "support", channel = "whatsapp" }
end)

test("says it once, however much is written", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Hello?")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:message("Hello??")
  t:message { kind = "image", media = { kind = "image", id = "m1" } }
  t:expect_nothing()
  t:expect_conversation { count = 1 }
end)

test("answers in the customer's language", function(t)
  t:contact { name = "Ada", telegram = "42", language = "de-CH" }
  t:message("Hallo")
  t:expect_sent { contains = "danke für deine Nachricht", channel = "telegram" }
end)

test("greets a stranger without a name", function(t)
  t:message { from = "telegram:42", text = "hi" }
  t:expect_sent { contains = "Hi there" }
end)

test("reopens within a day, and opens a new one after that", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("It is broken")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:agent("tag", "no-survey")
  t:agent("resolve")
  t:advance("2h")
  t:message("It is broken again")
  t:expect_nothing()
  t:expect_conversation { count = 1, state = "open" }
  t:agent("resolve")
  t:advance("3d")
  t:message("Something else")
  t:expect_sent { template = "inbox_acknowledgement" }
  t:expect_conversation { count = 2 }
end)
