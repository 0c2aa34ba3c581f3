http { trusted_proxies = { "10.0.0.0/8", "::1" }, require_https = true }
log { level = "debug" }