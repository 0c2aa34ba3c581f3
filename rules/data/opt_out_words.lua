-- What people write to end messages, and to get them again. Whole messages, in any case; see optout.lua.
return {
  stop = {
    "stop", "stop all", "stopall", "unsubscribe", "opt out", "optout", "cancel all messages", -- English
    "stopp", "abmelden", "abbestellen",          -- German
    "arrêt", "arret", "arrêter", "désabonner",   -- French
    "baja", "alto", "parar", "cancelar suscripción", -- Spanish
    "pare", "sair", "remover",                   -- Portuguese
    "annulla", "cancellami", "disiscrivi",       -- Italian
    "afmelden", "uitschrijven",                  -- Dutch
    "стоп", "отписаться",                        -- Russian
    "dur", "iptal",                              -- Turkish
    "停止", "退订", "退訂", "配信停止",              -- Chinese, Japanese
    "توقف", "إلغاء الاشتراك",                    -- Arabic
    "रोकें",                                      -- Hindi
  },
  start = {
    "start", "unstop", "subscribe", "opt in", "optin", "resume",
    "anmelden", "reprendre", "alta", "iniciar", "começar", "riprendi", "aanmelden", "старт", "başlat", "开始", "開始",
  },
}
