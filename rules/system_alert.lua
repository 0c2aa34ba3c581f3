-- Alerts about our own systems go to the support team: to their chat, and to the phones of who is on call.
--
-- They come from a monitoring tool (a source named "monitoring") or from the API, as the event custom.system_alert:
--   { "severity": "critical", "summary": "Checkout is down", "url": "https://status.example.com/1" }

endpoint "team_chat" {
  doc    = "Where the support team reads alerts: any receiver of Standard Webhooks.",
  url    = env("TEAM_CHAT_URL", "https://chat.example.com/hooks/support"),
  secret = env("TEAM_CHAT_SECRET", ""),
}

rule {
  name = "system-alert",
  doc  = "Tell the support team about a system alert.",
  on   = { "custom.system_alert", "webhook.monitoring" },
  run  = function(e, fx)
    local alert = e.body or {}
    local severity = alert.severity or "warning"
    local summary = alert.summary or alert.message or "no summary"
    fx:webhook("team_chat", { severity = severity, summary = summary, url = alert.url }, { type = "system.alert" })
    if severity == "critical" then
      for _, person in ipairs(data("team").on_call) do
        fx:emit("page", { severity = severity, summary = summary }, { contact = person })
      end
    end
  end,
}

rule {
  name = "page",
  doc  = "Send an alert to the phone of one person on call.",
  on   = "custom.page",
  run  = function(e, fx)
    local c = fx:open_conversation { topic = "alerts" }
    c:send {
      template = "system_alert", quiet = "ignore",
      vars = { severity = e.body.severity, summary = e.body.summary },
    }
  end,
}
