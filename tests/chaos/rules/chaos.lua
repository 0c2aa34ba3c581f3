-- Rules whose effects can be foretold from the traffic alone. A message says what is to be done: "r1p2m3 VERB ARGUMENT";
-- r1p2m3 is its tag: round, person, number.

endpoint "tool" {
  url = env("CHAOS_TOOL_URL", "http://127.0.0.1:1/hook/tool"), timeout = "1500ms",
  secret = env("TEAM_CHAT_SECRET", ""),
}

local function order_of(e)
  return tostring(e.contact.attributes["seen_" .. e.channel] or "")
end

rule {
  name = "chaos-order",
  doc  = "Write down which message came, in the order in which they were handled.",
  on   = { "message.received", "message.button" },
  priority = 50, -- after the inbox, before the effects
  when = function(e) return e.contact and (e.message.text or ""):match("^r%d+p%d+m%d+") end,
  run  = function(e, fx)
    local number = e.message.text:match("^r%d+p%d+m(%d+)")
    e.contact:set("seen_" .. e.channel, order_of(e) .. number .. ",")
  end,
}

local verbs = {}

function verbs.echo(e, c, tag, policy)
  c:send { text = "echo " .. tag, on_unknown = policy ~= "" and policy or "hold" }
end

-- All of this, or none of it.
function verbs.many(e, c, tag)
  c:send { text = "one " .. tag }
  c:note("note " .. tag)
  c:tag(tag)
  c:send { text = "two " .. tag }
end

-- Not the conversation of the message: once they are asked about a payment, what they say belongs to that one.
local function support(fx) return fx:open_conversation { topic = "support" } end

function verbs.timer(e, c, tag, after, fx)
  support(fx):after(after, "chaos-" .. tag, { data = { tag = tag } })
end

function verbs.cancel(e, c, tag, other, fx)
  support(fx):cancel("chaos-" .. other)
end

function verbs.emit(e, c, tag, _, fx)
  fx:emit("chaos", { tag = tag }, { contact = e.contact.identities[1] })
end

function verbs.hook(e, c, tag, _, fx)
  fx:webhook("tool", { tag = tag })
end

function verbs.menu(e, c, tag)
  c:send { text = "menu " .. tag, buttons = { { id = "yes " .. tag, text = "Yes" }, { id = "no " .. tag, text = "No" } } }
end

-- What it did before its mistake must not happen.
function verbs.fail(e, c, tag)
  c:send { text = "never " .. tag }
  c:tag("never-" .. tag)
  error("a mistake, on purpose")
end

rule {
  name = "chaos-act",
  doc  = "Do what the message says.",
  on   = "message.received",
  when = function(e) return e.conversation and (e.message.text or ""):match("^r%d+p%d+m%d+ %a+") end,
  run  = function(e, fx)
    local tag, verb, argument = e.message.text:match("^(r%d+p%d+m%d+) (%a+) ?(.*)$")
    verbs[verb](e, e.conversation, tag, argument, fx)
  end,
}

rule {
  name = "chaos-tap",
  doc  = "Say that a button was tapped.",
  on   = "message.button",
  when = function(e) return e.conversation and (e.message.button.id or ""):match("^yes r%d") end,
  run  = function(e, fx)
    e.conversation:send { text = "tapped " .. e.message.button.id:match("^yes (.*)$") }
  end,
}

rule {
  name = "chaos-timer",
  doc  = "Say that a timer fired.",
  on   = "timer.*",
  when = function(e) return e.timer.data and e.timer.data.tag end,
  run  = function(e, fx)
    e.conversation:send { text = "timer " .. e.timer.data.tag }
  end,
}

rule {
  name = "chaos-emitted",
  doc  = "Say that an event came that a rule or the API made.",
  on   = "custom.chaos",
  run  = function(e, fx)
    local c = fx:open_conversation { topic = "support", reopen = "24h" }
    c:send { text = "emitted " .. e.body.tag }
  end,
}

rule {
  name = "chaos-shop",
  doc  = "Find the customer of what another tool reports.",
  on   = "webhook.shop",
  run  = function(e, fx)
    fx:emit("chaos", { tag = e.body.tag }, { contact = { whatsapp = e.body.whatsapp } })
  end,
}

rule {
  name = "chaos-forget",
  doc  = "Leave traces in every place there is, of somebody who will be erased.",
  on   = "message.received",
  when = function(e) return e.conversation and (e.message.text or ""):match("^forget ") end,
  run  = function(e, fx)
    local tag = e.message.text:match("^forget (.+)$")
    e.conversation:send { text = "forgot " .. tag }
    e.conversation:note("note " .. tag)
    e.conversation:after("300ms", "chaos-forget", { data = { tag = tag } })
    e.contact:set("said", tag)
    fx:emit("forget", { tag = tag })
    fx:webhook("tool", { tag = tag })
  end,
}
