-- STOP means stop, in whatever language; START takes it back. Both only as the whole message: "please don't stop" is
-- something else.

local words = data("opt_out_words")

-- The answer goes where the customer wrote.
local function answer(e, fx, template)
  local c = e.conversation or fx:open_conversation { topic = "support", reopen = "24h" }
  c:send { template = template }
end

rule {
  name = "opt-out",
  doc  = "Stop all messages to who writes STOP, and confirm it.",
  on   = { "message.received", "message.button" },
  priority = 200, -- before the inbox: a STOP is not acknowledged like a question
  when = function(e) return is(e.message.text, words.stop) end,
  run  = function(e, fx)
    e.contact:opt_out()
    answer(e, fx, "opted_out")
    fx:stop()
  end,
}

rule {
  name = "opt-in",
  doc  = "Start again for who writes START after a STOP.",
  on   = { "message.received", "message.button" },
  priority = 200,
  when = function(e) return e.contact:has_opted_out("all") and is(e.message.text, words.start) end,
  run  = function(e, fx)
    e.contact:opt_in()
    answer(e, fx, "opted_in")
    fx:stop()
  end,
}
