-- The questions we ask. An answer by button, number or word counts; what comes after it is the comment.

survey "csat" {
  question = {
    en = "How did we do? Please rate our support.",
    de = "Wie waren wir? Bitte bewerte unseren Support.",
    es = "¿Qué tal lo hicimos? Valora nuestra atención, por favor.",
    fr = "Comment avons-nous fait ? Merci de noter notre assistance.",
    pt = "Como nos saímos? Avalie o nosso atendimento, por favor.",
  },
  scale       = 5,
  labels      = { "1 😞", "2 🙁", "3 😐", "4 🙂", "5 😀" },
  ask_comment = {
    en = "Thank you! Would you like to tell us why?",
    de = "Danke! Magst du uns sagen, warum?",
    es = "¡Gracias! ¿Nos cuentas por qué?",
    fr = "Merci ! Voulez-vous nous dire pourquoi ?",
    pt = "Obrigado! Quer contar-nos porquê?",
  },
  thanks = {
    en = "Thanks for telling us.",
    de = "Danke, dass du uns das gesagt hast.",
    es = "Gracias por contárnoslo.",
    fr = "Merci de nous l'avoir dit.",
    pt = "Obrigado por nos contar.",
  },
  expires        = "72h",
  comment_within = "24h",
  cooldown       = "7d",
  template       = "csat_closed_window", -- where the provider's window is closed
}
