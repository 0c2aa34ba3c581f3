-- The configuration. It is Lua: `answerd help configuration` lists every setting, `answerd help sources` every kind of
-- source. Secrets come from the environment, or from files: file "secrets/NAME".

http {
  listen = env("ANSWERD_LISTEN", "127.0.0.1:8080"),      -- the providers' webhooks
  admin = env("ANSWERD_ADMIN_LISTEN", "127.0.0.1:8081"), -- health, metrics and the API: never to the public
  public_url = env("ANSWERD_PUBLIC_URL", ""),            -- how the providers reach us, e.g. "https://hooks.example.com"
}

database { url = env("DATABASE_URL", "") } -- empty: libpq's own PG* variables

rules { directory = "rules" }

-- Each source is there when its secrets are.
local function is_set(name) return env(name, "") ~= "" end

if is_set "TELEGRAM_BOT_TOKEN" then
  source "telegram" {
    kind = "telegram",
    bot_token = env "TELEGRAM_BOT_TOKEN",
    secret_token = env "TELEGRAM_SECRET_TOKEN",
    api_url = env("TELEGRAM_API_URL", "https://api.telegram.org"),
  }
end

if is_set "WHATSAPP_APP_SECRET" then
  source "whatsapp" {
    kind = "whatsapp",
    phone_number_id = env "WHATSAPP_PHONE_NUMBER_ID",
    app_secret = env "WHATSAPP_APP_SECRET",
    verify_token = env "WHATSAPP_VERIFY_TOKEN",
    access_token = env "WHATSAPP_ACCESS_TOKEN",
    api_url = env("WHATSAPP_API_URL", "https://graph.facebook.com"),
  }
end

if is_set "STRIPE_SIGNING_SECRET" then
  source "stripe" { kind = "stripe", signing_secrets = { env "STRIPE_SIGNING_SECRET" } }
end
