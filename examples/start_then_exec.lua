-- Starts a stopped workspace on the way, waits for a service in it, then runs
-- one command after the other and stops at the first that fails.
--   tunnelhost run examples/start_then_exec.lua W -- "make" "make test"
--   tunnelhost run examples/start_then_exec.lua W -- --port 5432 "pg_dump app"
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "commands", required = true, repeatable = true, help = "to run in order" },
  { "--port", type = "integer", min = 1, max = 65535, help = "wait until this port accepts" },
  { "--patience", type = "number", default = 60, metavar = "SECONDS", help = "how long to wait for the port" },
}

-- Dials until something listens; nil, err when patience has run out.
local function await_port(conn, port, patience)
  return tunnel.with_timeout(patience, function()
    while true do
      local stream = conn:dial("tcp", port)
      if stream then
        stream:close()
        return true
      end
      tunnel.sleep(0.5)
    end
  end)
end

function app.on_state(from, to)
  tunnel.log.info("state", { from = from, to = to })
end

function app.run(conn, args)
  if args.port then
    local ok, err = await_port(conn, args.port, args.patience)
    if not ok then return nil, err end
  end
  local ssh <close> = assert(conn:ssh())
  for _, command in ipairs(args.commands) do
    local result = assert(ssh:exec(command))
    io.write(result.stdout)
    io.stderr:write(result.stderr)
    if result.status ~= 0 then return result.status end
  end
end

return app
