-- What happens when a provider does not take a message.

template "reminder" { text = "Hi {{name}}", whatsapp = { name = "reminder_v1", parameters = { "name" } } }

rule {
  name = "remind",
  on   = "payment.failed",
  run  = function(e, fx)
    fx:outreach {
      topic = "billing", reference = e.payment.invoice or e.payment.subscription,
      goals = { "payment.succeeded", "subscription.canceled" },
      grace = "2h",
      steps = { { template = "reminder" }, { after = "1h", text = "Again", channel = "other" } },
      vars  = { name = "Ada" },
    }
  end,
}

rule {
  name = "give-up",
  on   = "message.status",
  when = function(e) return e.status.state == "failed" and not e.outreach end,
  run  = function(e, fx) e.conversation:note("not delivered: " .. e.status.error.code) end,
}

rule {
  name = "greet",
  on   = "message.received",
  run  = function(e, fx) fx:open_conversation({ topic = "support" }):send "Hello" end,
}

rule {
  name = "exhausted",
  on   = "outreach.exhausted",
  run  = function(e, fx) e.conversation:tag("exhausted") end,
}

rule {
  name = "silent",
  on   = "message.status",
  when = function(e) return e.status.state == "blocked" and not e.outreach end,
  run  = function(e, fx) e.conversation:note("not sent: " .. e.status.error.code) end,
}

rule {
  name = "stop",
  on   = "custom.stop",
  run  = function(e, fx) e.contact:opt_out() end,
}

rule {
  name = "greet-again",
  on   = "custom.greet_again",
  run  = function(e, fx) e.conversation:send "Hello" end,
}
