-- A support tool that tells us by webhook that a ticket is resolved:
--
--   { "type": "ticket.resolved", "data": { "ticket": "T-1", "customer": { "email": "…", "whatsapp": "…" } } }
--
-- Such an event belongs to nobody yet. The first rule finds out whom it is about and emits an event for that contact,
-- which is then handled in the contact's turn, with the contact's conversations at hand.

rule {
  name = "ticket-resolved-map",
  doc  = "Read the support tool's webhook.",
  on   = "webhook.support",
  when = function(e) return e.body and e.body.type == "ticket.resolved" and type(e.body.data) == "table" end,
  run  = function(e, fx)
    local data = e.body.data
    local who = data.customer or {}
    fx:emit("ticket_resolved", { ticket = data.ticket or data.id }, {
      contact = {
        whatsapp = who.whatsapp, telegram = who.telegram, messenger = who.messenger, instagram = who.instagram,
        phone = who.phone, email = who.email, name = who.name,
      },
    })
  end,
}

rule {
  name = "ticket-resolved",
  doc  = "Resolve the customer's open support conversation.",
  on   = "custom.ticket_resolved",
  run  = function(e, fx)
    for _, c in ipairs(e.conversations) do
      if c.topic == "support" and c.state ~= "resolved" then
        if e.body.ticket then
          c:note("Ticket " .. tostring(e.body.ticket) .. " was resolved.")
        end
        c:resolve()
      end
    end
  end,
}
