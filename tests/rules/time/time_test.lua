-- Clocks go forward in Zurich on 29 March 2026 at 01:00 UTC, and back on 25 October 2026 at 01:00 UTC.

test("office hours follow the clocks", function(t)
  t:contact { telegram = "1" }
  t:at "2026-03-27T08:30:00Z" -- Friday, 09:30 in winter
  t:message "a"
  t:expect_sent "open"
  t:at "2026-03-30T07:30:00Z" -- Monday, 09:30 in summer
  t:expect_sent "still there?"
  t:message "b"
  t:expect_sent "open"
  t:at "2026-03-30T15:30:00Z" -- 17:30
  t:message "c"
  t:expect_sent "closed"
  t:at "2026-04-06T08:00:00Z" -- a holiday
  t:expect_sent "still there?"
  t:message "d"
  t:expect_sent "closed"
end)

test("a timer of 24 hours is 24 hours, whatever the clocks show", function(t)
  t:contact { telegram = "1" }
  t:at "2026-03-28T20:00:00Z" -- 21:00
  t:message "a"
  t:expect_sent "closed"
  t:at "2026-03-29T19:59:59Z" -- 21:59:59 on a day of 23 hours
  t:expect_nothing()
  t:expect_timer { name = "follow-up", due_at = "2026-03-29T20:00:00.000Z" }
  t:advance "1s" -- 22:00: quiet
  t:expect_nothing()
  t:at "2026-03-30T05:59:59Z"
  t:expect_nothing()
  t:advance "1s" -- 08:00
  t:expect_sent "still there?"
end)

test("quiet hours are the contact's own", function(t)
  t:contact { telegram = "1", timezone = "America/New_York" }
  t:at "2026-03-10T13:00:00Z" -- 09:00 in New York, two days after its clocks went forward
  t:message "a"
  t:expect_sent "open"
  t:advance "24h"
  t:expect_sent "still there?"
  t:at "2026-03-12T02:00:00Z" -- 22:00 in New York
  t:message "b"
  t:expect_sent "closed"
  t:advance "24h"
  t:expect_nothing()
  t:at "2026-03-13T11:59:59Z"
  t:expect_nothing()
  t:advance "1s" -- 08:00 there
  t:expect_sent "still there?"
end)

test("quiet hours end by the clock of the morning after a change", function(t)
  t:contact { telegram = "1" }
  t:at "2026-10-23T20:30:00Z" -- 22:30 in summer
  t:message "a"
  t:expect_sent "closed"
  t:at "2026-10-24T20:30:00Z" -- the timer is due in the quiet hours of the night in which the clocks go back
  t:expect_nothing()
  t:at "2026-10-25T06:59:59Z"
  t:expect_nothing()
  t:advance "1s" -- 08:00 in winter
  t:expect_sent "still there?"
end)

test("open hours are added over nights, breaks, weekends, holidays and changes of the clock", function(t)
  t:contact { telegram = "1" }
  t:at "2026-01-05T08:30:00Z" -- Monday, 09:30
  t:event "custom.call_back"
  t:expect_sent "We call you on Monday at 14:30"
  t:at "2026-03-27T14:00:00Z" -- Friday, 15:00 before the clocks change
  t:event "custom.call_back"
  t:expect_sent "We call you on Monday at 11:00"
  t:at "2026-04-03T13:00:00Z" -- Friday, 15:00 before the holiday
  t:event "custom.call_back"
  t:expect_sent "We call you on Tuesday at 11:00"
end)

test("a reply in time ends the wait, one second late does not", function(t)
  t:contact { telegram = "1" }
  t:at "2026-05-05T09:00:00Z"
  t:message "a"
  t:expect_sent "open"
  t:advance "23h59m59s"
  t:message "b"
  t:expect_sent "open"
  t:advance "1s"
  t:expect_nothing()
  t:advance "23h59m59s"
  t:expect_sent "still there?"
  t:message "c"
  t:expect_sent "open"
end)

test("a rule sees the time of the event", function(t)
  t:at "2026-10-25T00:30:00Z" -- 02:30, for the first time
  t:event("cron.morning", { contact = false })
  t:expect_event { type = "custom.digest", body = { hour = 2 } }
  t:at "2026-10-25T01:30:00Z" -- 02:30 again
  t:event("cron.morning", { contact = false })
  t:expect_event { type = "custom.digest", body = { hour = 2 } }
  t:at "2026-10-25T02:30:00Z"
  t:event("cron.morning", { contact = false })
  t:expect_event { type = "custom.digest", body = { hour = 3 } }
end)

test("a cron fires at the hour of its place", function(t)
  t:at "2026-03-28T12:00:00Z"
  t:cron "morning" -- the clocks go forward before it
  t:expect_event { type = "custom.digest", body = { hour = 9 } }
  if t:now() ~= 1774767600 then error("it is " .. t:now()) end -- 07:00 UTC
  t:cron "morning"
  if t:now() ~= 1774767600 + 86400 then error("it is " .. t:now()) end
end)

test("a timer each minute fires for as long as time passes", function(t)
  t:contact { telegram = "1" }
  t:event("custom.watch")
  t:advance "2d"
  t:expect_conversation { topic = "watch", attributes = { looks = 2 * 24 * 60 + 1 } }
end)
