-- rules/refund.lua
template "refund_help" {
  text = {
    en = "Sorry to hear that, {{name}}. Shall we refund your last order?",
    de = "Das tut uns leid, {{name}}. Sollen wir deine letzte Bestellung erstatten?",
  },
  buttons = { "Yes, please", "No, thanks" },
}

rule {
  name = "refund",
  doc  = "Offer help to who asks for a refund.",
  on   = "message.received",
  when = function(e) return has(e.message.text, "refund", "money back", "erstattung") end,
  run  = function(e, fx)
    local c = e.conversation
    c:tag("refund")
    c:send { template = "refund_help", vars = { name = e.contact.name or "there" } }
    c:after("4h", "refund-waiting", { unless = "reply" })
  end,
}

rule {
  name = "refund-waiting",
  doc  = "Hand a refund to a person when the customer did not answer.",
  on   = "timer.refund-waiting",
  run  = function(e, fx)
    e.conversation:assign("billing")
    e.conversation:note("No answer to our offer of a refund for four hours.")
  end,
}
