test("an alert goes to the team's chat", function(t)
  t:event("custom.system_alert", { body = { severity = "warning", summary = "Queue is long" }, contact = false })
  t:expect_webhook { endpoint = "team_chat", type = "system.alert", body = { summary = "Queue is long" } }
  t:expect_nothing()
end)

test("a critical one also to the phones of who is on call", function(t)
  t:event("webhook.monitoring", { body = { severity = "critical", summary = "Checkout is down" }, contact = false })
  t:expect_webhook { endpoint = "team_chat" }
  t:expect_sent { template = "system_alert", to = data("team").on_call[1], text = "critical: Checkout is down" }
end)
