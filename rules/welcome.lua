-- A new order is welcomed where the customer likes to read: their own choice, else Telegram, else wherever we can.

rule {
  name = "welcome",
  doc  = "Confirm an order with a welcome message.",
  on   = "order.completed",
  run  = function(e, fx)
    local channel = e.contact.preferred_channel
    if not channel and e.contact:can_reach("telegram") then
      channel = "telegram"
    end
    local c = fx:open_conversation { topic = "orders", reference = e.order.reference or e.order.id, channel = channel }
    c:send {
      template = "welcome",
      vars = { name = e.contact.name or "there", reference = e.order.reference or e.order.id },
    }
    c:resolve() -- an answer of the customer opens a conversation of its own
  end,
}
