-- Forwards local TCP ports to ports of the workspace until it is stopped.
--   tunnelhost run examples/port_forward.lua W -- 8080
--   tunnelhost run examples/port_forward.lua W -- 127.0.0.1:9000=3000 8080
local tunnel = require "tunnel"

local app = {}

local function parse(spec)
  local address, port = spec:match("^(.+)=(%d+)$")
  if not address then
    port = spec:match("^%d+$")
    address = port and "127.0.0.1:" .. port
  end
  port = math.tointeger(tonumber(port))
  if not port or port < 1 or port > 65535 then
    return nil, "'" .. spec .. "' is neither PORT nor ADDRESS=PORT"
  end
  return address, port
end

app.options = {
  {
    "forwards", required = true, repeatable = true, metavar = "[ADDRESS=]PORT",
    help = "a port of the workspace, and where to listen for it",
    check = function(spec)
      local address, message = parse(spec)
      return address and true, message
    end,
  },
}

-- One accepted connection: a stream of its own through the tunnel.
local function serve(conn, port, client)
  local remote, err = conn:dial("tcp", port)
  if not remote then
    tunnel.log.warn("cannot reach port " .. port, { error = tostring(err) })
    client:close()
    return
  end
  local sent, failure = tunnel.splice(client, remote)
  if not sent then
    tunnel.log.warn("a connection to port " .. port .. " broke", { error = tostring(failure) })
  end
  client:close()
  remote:close()
end

function app.start(conn, args)
  for _, spec in ipairs(args.forwards) do
    local address, port = parse(spec)
    local listener, err = tunnel.listen(address, function(client)
      serve(conn, port, client)
    end)
    if not listener then return nil, err end
    print("forwarding " .. listener:local_address() .. " to port " .. port)
  end
end

return app
