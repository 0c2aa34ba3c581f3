-- Every customer's message ends up in a conversation; the first one is acknowledged.

rule {
  name = "inbox",
  doc  = "Open or reopen the support conversation of who writes, and acknowledge the first message.",
  on   = { "message.received", "message.button" },
  priority = 100, -- before the rules that expect e.conversation to be there
  when = function(e) return e.message.kind ~= "system" end, -- such as "changed their number"
  run  = function(e, fx)
    if e.conversation and e.conversation.state ~= "resolved" then
      return -- the message has joined it already
    end
    local c = fx:open_conversation { topic = "support", reopen = "24h" }
    if c.is_new then
      c:send { template = "inbox_acknowledgement", vars = { name = e.contact.name or "there" } }
    end
  end,
}
