local function f(x) return x .. x end
http { public_url = "https://" .. f "a" }