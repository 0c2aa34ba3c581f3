-- rules/refund_test.lua
test("offers a refund, and asks a person when nobody answers", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("I want my money back!")
  t:expect_message { content = { template = "refund_help" }, contains = "Sorry to hear that, Ada.", count = 1 }
  t:advance("4h")
  t:expect_conversation { tags = { "refund" }, assignee = "billing" }
end)

test("leaves it to the customer who answered", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("I want a refund")
  t:tap("Yes, please")
  t:advance("4h")
  t:expect_conversation { assignee = false }
end)
