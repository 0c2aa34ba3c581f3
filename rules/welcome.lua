-- A new order is welcomed where the customer likes to read: their own choice, else Telegram, else wherever we can.

rule {
  name = "welcome",
  doc  = "Confirm an order with a welcome message.",
  on   = "order.completed",
  when = function(e) return e.contact ~= nil end,
  run  = function(e, fx)
    local reference = e.order.reference or e.order.id or e.id
    local channel = e.contact.preferred_channel
    if not channel and e.contact:can_reach("telegram") then
      channel = "telegram"
    end
    local c = fx:open_conversation { topic = "orders", reference = tostring(reference), channel = channel }
    c:send { template = "welcome", vars = { name = e.contact.name or "there", reference = reference } }
    c:resolve() -- an answer of the customer opens a conversation of its own
  end,
}
