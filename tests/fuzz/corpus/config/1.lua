source "a" { kind = "stripe", signing_secrets = { "x" } }
source "b" { kind = "hmac", signing_secrets = "s", rate_limit = 5 }