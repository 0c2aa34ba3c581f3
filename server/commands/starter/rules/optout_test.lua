-- As in inbox_test.lua, what other rules write does not matter here.
test("STOP ends all messages, START takes it back", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Stop!")
  t:expect_message { content = { template = "opted_out" }, state = "sent" }
  t:expect_contact { opted_out = { "all" } }
  t:message("start")
  t:expect_message { content = { template = "opted_in" }, state = "sent" }
  t:expect_contact { opted_out = {} }
  t:message("I want a refund")
  t:expect_message { content = { template = "refund_help" }, state = "sent" }
end)
