-- A failed payment is told to the customer, who is reminded once, until it is paid.

rule {
  name = "payment-recovery",
  doc  = "Write to the customer, on the channel they prefer, when a payment fails.",
  on   = { "payment.failed", "payment.action_required" },
  when = function(e) return e.contact and not e.payment.secondary and (e.payment.attempt or 1) == 1 end,
  run  = function(e, fx)
    local pay = e.payment
    fx:outreach {
      topic = "billing", reference = pay.reference,
      goal  = "payment.succeeded",
      steps = {
        { after = "0s",  template = "payment_failed" },
        { after = "24h", template = "payment_reminder" }, -- left out when the provider gives no amount or no link
        { after = "72h", note = "Not reached by message; please call.", assign = "billing" },
      },
      vars  = {
        name   = e.contact.name or "there",
        amount = pay.amount and pay.currency and money(pay.amount, pay.currency),
        link   = pay.url,
      },
    }
  end,
}

rule {
  name = "payment-recovered",
  doc  = "Close the billing conversation when the payment came in and the customer has not asked anything.",
  on   = "outreach.recovered",
  when = function(e) return e.conversation and e.conversation.topic == "billing"
      and e.conversation.state ~= "resolved" end,
  run  = function(e, fx)
    local c = e.conversation
    c:tag("recovered")
    if not c.last_inbound_at or c.last_inbound_at < e.outreach.started_at then
      c:resolve()
    end
  end,
}
