local function failed(t)
  t:event("payment.failed", { payment = { invoice = "in_1" } })
end

test("any of several goals ends an outreach", function(t)
  t:contact { telegram = "1" }
  t:event("payment.failed", { payment = { id = "pay_1", subscription = "sub_1" } })
  t:expect_sent { template = "reminder" }
  t:event("subscription.canceled", { subscription = { id = "sub_2" } })
  t:expect_outreach { state = "active" }
  t:event("subscription.canceled", { subscription = { id = "sub_1" } })
  t:expect_outreach { state = "recovered", goals = { "subscription.canceled" } }
  t:advance "1d"
  t:expect_nothing()
end)

test("another channel is one that has not been used", function(t)
  t:contact { whatsapp = "15550100", telegram = "1", messenger = "77", prefer = "telegram" }
  failed(t)
  t:expect_sent { channel = "telegram" }
  t:advance "1h"
  local second = t:expect_sent { contains = "Again" }
  if second.channel == "telegram" then error("the same channel again") end
end)

test("who has no other channel is not written to twice on the same", function(t)
  t:contact { telegram = "1" }
  failed(t)
  t:expect_sent { channel = "telegram" }
  t:advance "1h"
  t:expect_nothing()
  t:expect_outreach { state = "active", step = 2 }
end)

test("after the last step there is so much time as grace says", function(t)
  t:contact { telegram = "1" }
  failed(t)
  t:expect_sent {}
  t:advance "1h"
  t:advance "1h59m59s"
  t:expect_outreach { state = "active" }
  t:advance "1s"
  t:expect_outreach { state = "exhausted" }
  t:expect_conversation { tags = "exhausted" }
end)

test("paid within the grace is recovered", function(t)
  t:contact { telegram = "1" }
  failed(t)
  t:expect_sent {}
  t:advance "2h30m"
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:expect_outreach { state = "recovered" }
  t:advance "1d"
  t:expect_outreach { state = "recovered", count = 1 }
end)

test("who opts out of a topic is no longer written to about it, and about the others still", function(t)
  t:contact { telegram = "1" }
  failed(t)
  t:expect_sent { template = "reminder" }
  t:event("custom.offer", { body = { number = 1 } })
  t:expect_sent "Something new."
  t:event("custom.stop_topic", { body = { topic = "billing" } })
  t:expect_outreach { topic = "billing", state = "canceled" }
  t:expect_outreach { topic = "offers", state = "active" }
  t:advance "1d"
  t:expect_nothing()
end)

test("an outreach that was recovered stays as it ended", function(t)
  t:contact { telegram = "1" }
  failed(t)
  t:expect_sent { template = "reminder" }
  t:event("payment.succeeded", { payment = { invoice = "in_1" } })
  t:expect_outreach { state = "recovered" }
  t:event("custom.stop_topic", { body = { topic = "billing" } })
  t:expect_outreach { state = "recovered" }
end)

test("another survey is asked although one was asked lately, and both wait for their answers", function(t)
  t:contact { telegram = "1" }
  t:message "hi"
  t:expect_sent "Hello"
  t:event("custom.ask_pulse")
  t:expect_sent { survey = "pulse" }
  t:event("custom.ask")
  t:expect_sent { survey = "rating" }
  t:expect_survey { name = "pulse", state = "asked" }
  t:event("custom.ask_pulse")
  t:expect_nothing()
end)
