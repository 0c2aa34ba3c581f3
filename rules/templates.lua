-- What we say, in the languages we say it in. Names under `whatsapp` are those of templates approved by Meta: they are
-- used when a customer's 24-hour window is closed.

template "inbox_acknowledgement" {
  topic = "support",
  text = {
    en = "Hi {{name}}, thanks for writing. We have your message and will answer soon.",
    de = "Hallo {{name}}, danke für deine Nachricht. Wir melden uns bald.",
    es = "Hola {{name}}, gracias por escribir. Te responderemos pronto.",
    fr = "Bonjour {{name}}, merci pour votre message. Nous vous répondrons bientôt.",
    pt = "Olá {{name}}, obrigado pela mensagem. Responderemos em breve.",
  },
}

template "payment_failed" {
  topic = "billing",
  text = {
    en = "Hi {{name}}, we noticed a payment issue with your subscription. Can we help resolve this?",
    de = "Hallo {{name}}, bei der Zahlung für dein Abo gab es ein Problem. Können wir helfen, es zu lösen?",
    es = "Hola {{name}}, hubo un problema con el pago de tu suscripción. ¿Podemos ayudarte a resolverlo?",
    fr = "Bonjour {{name}}, le paiement de votre abonnement a rencontré un problème. Pouvons-nous vous aider ?",
    pt = "Olá {{name}}, houve um problema com o pagamento da sua assinatura. Podemos ajudar a resolver?",
  },
  whatsapp = { name = "payment_failed_v1", parameters = { "name" } },
}

template "payment_reminder" {
  topic = "billing",
  text = {
    en = "Hi {{name}}, your payment of {{amount}} is still open. You can settle it here: {{link}}",
    de = "Hallo {{name}}, deine Zahlung über {{amount}} ist noch offen. Hier kannst du sie begleichen: {{link}}",
    es = "Hola {{name}}, tu pago de {{amount}} sigue pendiente. Puedes hacerlo aquí: {{link}}",
    fr = "Bonjour {{name}}, votre paiement de {{amount}} est toujours en attente. Vous pouvez le régler ici : {{link}}",
    pt = "Olá {{name}}, o seu pagamento de {{amount}} ainda está em aberto. Pode pagar aqui: {{link}}",
  },
  whatsapp = { name = "payment_reminder_v1", parameters = { "name", "amount", "link" } },
}

template "welcome" {
  topic = "orders",
  text = {
    en = "Welcome, {{name}}! Your order {{reference}} is confirmed. Write to us here whenever you need anything.",
    de = "Willkommen, {{name}}! Deine Bestellung {{reference}} ist bestätigt. Schreib uns hier, wann immer du etwas brauchst.",
    es = "¡Te damos la bienvenida, {{name}}! Tu pedido {{reference}} está confirmado. Escríbenos aquí cuando lo necesites.",
    fr = "Bienvenue, {{name}} ! Votre commande {{reference}} est confirmée. Écrivez-nous ici quand vous voulez.",
    pt = "Boas-vindas, {{name}}! O seu pedido {{reference}} está confirmado. Escreva-nos por aqui quando precisar.",
  },
  whatsapp = { name = "welcome_v1", parameters = { "name", "reference" } },
}

template "opted_out" {
  text = {
    en = "You will not get any more messages from us. Write START to change that.",
    de = "Du bekommst keine Nachrichten mehr von uns. Mit START änderst du das wieder.",
    es = "No recibirás más mensajes nuestros. Escribe START para volver a recibirlos.",
    fr = "Vous ne recevrez plus de messages de notre part. Écrivez START pour en recevoir à nouveau.",
    pt = "Não receberá mais mensagens nossas. Escreva START para voltar a recebê-las.",
  },
}

template "opted_in" {
  text = {
    en = "Welcome back! You will get our messages again. Write STOP to end them.",
    de = "Schön, dass du wieder da bist! Du bekommst unsere Nachrichten wieder. Mit STOPP endet das.",
    es = "¡Hola de nuevo! Volverás a recibir nuestros mensajes. Escribe STOP para dejar de recibirlos.",
    fr = "Bon retour ! Vous recevrez à nouveau nos messages. Écrivez STOP pour les arrêter.",
    pt = "Bom ter você de volta! Voltará a receber as nossas mensagens. Escreva STOP para parar.",
  },
}

template "system_alert" {
  text = "{{severity}}: {{summary}}",
  whatsapp = { name = "system_alert_v1", parameters = { "severity", "summary" } },
}

template "csat_closed_window" {
  topic = "support",
  text = {
    en = "Hi {{name}}, how did we do? Please rate our support from 1 (poor) to 5 (great).",
    de = "Hallo {{name}}, wie waren wir? Bitte bewerte unseren Support von 1 (schlecht) bis 5 (sehr gut).",
  },
  whatsapp = { name = "csat_v1", parameters = { "name" } },
}
