test("STOP ends all messages, START takes it back", function(t)
  t:contact { name = "Ada", whatsapp = "15550100" }
  t:message("Stop!")
  t:expect_sent { template = "opted_out" }
  t:expect_contact { opted_out = { "all" } }
  t:message("start")
  t:expect_sent { template = "opted_in" }
  t:expect_contact { opted_out = {} }
  t:message("I want a refund")
  t:expect_sent { template = "refund_help" }
end)
