-- When a support conversation is resolved, its customer is asked for a rating.

rule {
  name = "csat-ask",
  doc  = "Ask for a rating when a support conversation is resolved.",
  on   = "conversation.resolved",
  when = function(e)
    local c = e.conversation
    return c and c.topic == "support" and c.last_inbound_at and not c:has_tag("no-survey")
  end,
  run  = function(e, fx)
    e.conversation:survey("csat")
  end,
}

rule {
  name = "csat-low",
  doc  = "Mark a conversation whose customer was not happy, so that somebody looks at it.",
  on   = "survey.answered",
  when = function(e) return e.survey.name == "csat" and e.survey.score <= 2 and e.conversation end,
  run  = function(e, fx)
    local c = e.conversation
    if not c:has_tag("unhappy") then
      c:tag("unhappy")
      c:note(string.format("Rated %d of %d. Please have a look at what went wrong.", e.survey.score, e.survey.scale))
    end
  end,
}
