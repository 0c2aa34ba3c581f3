-- Rules whose whole point is when something happens.

calendar "office" { timezone = "Europe/Zurich", hours = { ["mon-fri"] = { "09:00-12:00", "13:00-17:00" } },
  holidays = { "2026-04-06" } }
calendar "quiet" { timezone = "Europe/Zurich", hours = { ["mon-sun"] = { "00:00-08:00", "22:00-24:00" } } }
cron "morning" { schedule = "0 9 * * *", timezone = "Europe/Zurich" }

rule {
  name = "greet",
  on   = "message.received",
  run  = function(e, fx)
    local c = fx:open_conversation { topic = "support" }
    c:send { text = calendar("office"):open(now()) and "open" or "closed", quiet = "ignore" }
    c:after("24h", "follow-up", { unless = "reply" })
  end,
}

rule {
  name = "follow-up",
  on   = "timer.follow-up",
  run  = function(e, fx) e.conversation:send { text = "still there?", quiet = "respect" } end,
}

rule {
  name = "call-back",
  on   = "custom.call_back",
  run  = function(e, fx)
    local at = calendar("office"):add(now(), "4h")
    fx:open_conversation({ topic = "calls" }):send {
      text = date("We call you on %A at %R", at, "Europe/Zurich"), quiet = "ignore",
    }
  end,
}

rule {
  name = "digest",
  on   = "cron.morning",
  run  = function(e, fx) fx:emit("digest", { hour = local_time(now(), "Europe/Zurich").hour }) end,
}

rule {
  name = "every-minute",
  on   = { "custom.watch", "timer.watch" },
  run  = function(e, fx)
    local c = fx:open_conversation { topic = "watch" }
    c:after("1m", "watch")
    c:set("looks", (c.attributes.looks or 0) + 1)
  end,
}
