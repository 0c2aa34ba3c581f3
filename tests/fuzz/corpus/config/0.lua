http { listen = "127.0.0.1:9000", max_body = "64KiB", tls = { certificate = {"a","b"}, key = {"c","d"} } }
database { url = env("X", "") }