-- Bulk data by the agent's speedtest service (port 3), for tests/bench.
-- Prints one line of JSON: bytes, seconds.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "direction", choices = { "down", "up" }, required = true, help = "of the bulk data, seen from here" },
  { "--seconds", type = "number", default = 3, help = "for how long" },
}

local function down(stream)
  local bytes = 0
  while true do
    local data = stream:receive_any(1 << 18)
    if not data then return bytes end
    bytes = bytes + #data
  end
end

local function up(stream, seconds)
  local block, bytes = string.rep("x", 1 << 17), 0
  local deadline = tunnel.now() + seconds
  while tunnel.now() < deadline do
    if not stream:send(block) then break end
    bytes = bytes + #block
  end
  stream:flush()
  return bytes
end

function app.run(conn, args)
  local stream <close> = assert(conn:dial("tcp", 3))
  local request = {
    version = 2, time = math.tointeger(args.seconds * 1000000000 // 1),
    direction = args.direction == "up" and 1 or 0,
  }
  assert(stream:send(tunnel.json.encode(request) .. "\n"))
  assert(stream:receive("l"))
  local began = tunnel.now()
  local bytes = args.direction == "up" and up(stream, args.seconds) or down(stream)
  print(tunnel.json.encode({ bytes = bytes, seconds = tunnel.now() - began }))
end

return app
