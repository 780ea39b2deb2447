-- `tunnelhost ping W`: round trips through the tunnel.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "--num", type = "integer", min = 1, default = 5, metavar = "N", help = "how many" },
  { "--interval", type = "number", min = 0, default = 1, metavar = "SECONDS", help = "between two" },
  { "--answer-timeout", type = "number", min = 0.001, default = 5, metavar = "SECONDS", help = "for each" },
  { "--output", choices = { "text", "json" }, default = "text", help = "one line each, or one JSON object each" },
}

local function describe(conn, ping)
  local path = ping.direct and "direct " .. (ping.endpoint or "") or "relay " .. (ping.derp_region or "")
  return string.format("pong from %s by %s in %.3f ms", conn.agent_name, path, ping.latency * 1000)
end

local function report(conn, args, ping, err)
  if args.output == "json" then
    print(tunnel.json.encode(ping or { error = tostring(err) }))
  elseif ping then
    print(describe(conn, ping))
  else
    print("no pong from " .. conn.agent_name .. ": " .. tostring(err))
  end
end

function app.run(conn, args)
  local failure
  for i = 1, args.num do
    local ping, err = conn:ping{ timeout = args.answer_timeout }
    failure = err or failure
    report(conn, args, ping, err)
    if i < args.num then tunnel.sleep(args.interval) end
  end
  if failure then return nil, failure end
end

return app
