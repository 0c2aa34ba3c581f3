-- The configuration of the containers and of scripts/run. It is Lua: a secret comes from the environment when it is
-- set there, else from the file that docker-compose mounts. `answerd help configuration` lists every setting.

local function secret(name)
  local value = env(name, "")
  if value ~= "" then return value end
  return file("/run/secrets/" .. name:lower())
end

-- HTTPS by answerd itself: docker-compose.tls.yml. Behind a proxy that does it: docker-compose.nginx.yml.
local certificate = env("ANSWERD_TLS_CERTIFICATE", "")

http {
  listen = env("ANSWERD_LISTEN", "0.0.0.0:8080"),        -- the providers' webhooks
  admin = env("ANSWERD_ADMIN_LISTEN", "127.0.0.1:8081"), -- health, metrics and the API: never to the public
  public_url = env("ANSWERD_PUBLIC_URL", ""),            -- how the providers reach us, e.g. "https://hooks.example.com"
  tls = certificate ~= "" and { certificate = certificate, key = env "ANSWERD_TLS_KEY" } or nil,
  trusted_proxies = env("ANSWERD_TRUSTED_PROXIES", ""),  -- whose X-Forwarded-For and -Proto are believed
  require_https = env("ANSWERD_REQUIRE_HTTPS", "") == "yes",
}

-- Empty: libpq's own PG* variables. The password may come from a file, as containers get their secrets.
local password_file = env("PGPASSWORD_FILE", "")
local function password()
  return "password='" .. file(password_file):gsub("[\\']", "\\%0") .. "'"
end
database {
  url = env("DATABASE_URL", password_file ~= "" and password() or ""),
}

rules { directory = env("ANSWERD_RULES", "/etc/answerd/rules") }

source "whatsapp" {
  kind = "whatsapp",
  phone_number_id = env "WHATSAPP_PHONE_NUMBER_ID",
  app_secret = secret "WHATSAPP_APP_SECRET",
  verify_token = secret "WHATSAPP_VERIFY_TOKEN",
  access_token = secret "WHATSAPP_ACCESS_TOKEN",
  api_url = env("WHATSAPP_API_URL", "https://graph.facebook.com"),
}

source "telegram" {
  kind = "telegram",
  bot_token = secret "TELEGRAM_BOT_TOKEN",
  secret_token = secret "TELEGRAM_SECRET_TOKEN",
  api_url = env("TELEGRAM_API_URL", "https://api.telegram.org"),
}

source "stripe" {
  kind = "stripe",
  signing_secrets = { secret "STRIPE_SIGNING_SECRET" },
}

source "support" {
  kind = "standard_webhooks",
  signing_secrets = { secret "SUPPORT_SIGNING_SECRET" },
}
