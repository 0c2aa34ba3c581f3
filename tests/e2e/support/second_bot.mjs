// A source "second" beside the usual ones, which only nodes have whose environment says so: a configuration that reaches nodes
// one after the other.

export const secondBot = {
  config: `if env("SECOND_BOT", "") == "yes" then
      source "second" { kind = "telegram", bot_token = env "TELEGRAM_BOT_TOKEN", secret_token = env "TELEGRAM_SECRET_TOKEN", api_url = env "ANSWERD_SIMULATE_URL" }
    end`,
  environment: { SECOND_BOT: 'yes' },
}
