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

rule {
  name   = "offer",
  on     = "custom.offer",
  budget = { sends_per_hour = 2, sends_per_contact_per_day = 1 },
  run    = function(e, fx)
    fx:outreach {
      topic = "offers", reference = tostring(e.body.number), goal = "order.completed", steps = { { text = "Something new." } },
    }
  end,
}

rule {
  name = "tell-about-held",
  on   = "custom.system_alert",
  run  = function(e, fx) fx:webhook("team", { problem = e.body.problem, rule = e.body.rule }) end,
}

endpoint "team" { url = "https://team.example.com/hooks", secret = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVhbSdzIGNoYXQ=" }

template "rate_us" { text = "Please rate us.", whatsapp = { name = "rate_us_v1" } }
survey "rating" { question = "How did we do?", scale = 3, thanks = "Thanks!", template = "rate_us" }

rule {
  name = "ask",
  on   = "custom.ask",
  run  = function(e, fx) e.conversation:survey "rating" end,
}

survey "pulse" { question = "How are you?", scale = 5, cooldown = "7d" }

rule {
  name = "ask-pulse",
  on   = "custom.ask_pulse",
  run  = function(e, fx) e.conversation:survey "pulse" end,
}

rule {
  name = "stop-topic",
  on   = "custom.stop_topic",
  run  = function(e, fx) e.contact:opt_out(e.body.topic) end,
}
