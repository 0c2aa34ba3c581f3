-- What inbox.lua and optout.lua say, by language. More languages are more lines.

template "inbox_acknowledgement" {
  topic = "support",
  text = {
    en = "Hi {{name}}, thanks for writing. We have your message and will answer soon.",
    de = "Hallo {{name}}, danke für deine Nachricht. Wir melden uns bald.",
  },
}

template "opted_out" {
  text = {
    en = "You will not get any more messages from us. Write START to change that.",
    de = "Du bekommst keine Nachrichten mehr von uns. Mit START änderst du das wieder.",
  },
}

template "opted_in" {
  text = {
    en = "Welcome back! You will get our messages again. Write STOP to end them.",
    de = "Schön, dass du wieder da bist! Du bekommst unsere Nachrichten wieder. Mit STOPP endet das.",
  },
}
