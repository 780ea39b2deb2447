-- From nothing to the first byte of `echo`, by phase, for tests/bench.
-- --began is CLOCK_BOOTTIME when the process was started.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "--began", type = "number", required = true, help = "seconds" },
}

local phases, names = {}, { establishTailnet = "agent_ready_ms", tailnetUp = "reachable_ms" }

function app.on_state(_, to)
  if names[to] then phases[names[to]] = tunnel.now() end
end

function app.run(conn, args)
  local ssh <close> = assert(conn:ssh())
  assert(ssh:exec("echo foo"))
  phases.first_byte_ms = tunnel.now()
  for name, at in pairs(phases) do phases[name] = (at - args.began) * 1000 end
  print(tunnel.json.encode(phases))
end

return app
