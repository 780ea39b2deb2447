-- Bulk data for tests/bench: what `peer client speedtest` does, by tunnelhost.
-- Down: the agent's speedtest service (port 3), cut off after the time. Up:
-- the Go peer's counting sink (port 9), or with --drain port 3 until all is
-- acknowledged. Prints one line of JSON.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "direction", choices = { "down", "up" }, required = true, help = "of the bulk data, seen from here" },
  { "--seconds", type = "number", default = 3, help = "for how long" },
  { "--streams", type = "integer", default = 1, help = "at once" },
  { "--wait-direct", type = "number", default = 0, help = "seconds to wait for a direct path" },
  { "--bytes", type = "number", default = math.huge, help = "end after so many, if that is sooner" },
  { "--drain", help = "an agent that is not the Go peer", type = "boolean", default = false },
}

local SPEEDTEST, SINK = 3, 9
local block = string.rep("x", 1 << 17)

local function request(conn, args)
  local stream = assert(conn:dial("tcp", SPEEDTEST))
  assert(stream:send(tunnel.json.encode{
    version = 2, time = math.tointeger(args.seconds * 1000000000 // 1),
    direction = args.direction == "up" and 1 or 0,
  } .. "\n"))
  assert(stream:receive("l"))
  return stream
end

local function down(conn, args)
  local stream <close> = request(conn, args)
  local bytes, deadline = 0, tunnel.now() + args.seconds
  repeat
    local data = stream:receive_any(1 << 18, { timeout = math.max(deadline - tunnel.now(), 0.001) })
    bytes = bytes + (data and #data or 0)
  until not data or bytes >= args.bytes or tunnel.now() >= deadline
  return bytes
end

local function blast(stream, deadline, limit)
  local bytes = 0
  while bytes < limit and tunnel.now() < deadline do
    if not stream:send(block) then break end
    bytes = bytes + #block
  end
  return bytes
end

local function up_and_drain(conn, args)
  local stream <close> = request(conn, args)
  local bytes = blast(stream, tunnel.now() + args.seconds, args.bytes)
  stream:flush()
  return bytes
end

local function up(conn, args)
  if args.drain then return up_and_drain(conn, args) end
  local stream <close> = assert(conn:dial("tcp", SINK))
  local deadline, arrived = tunnel.now() + args.seconds, 0
  local sender = tunnel.spawn(blast, stream, deadline, args.bytes)
  repeat
    local line = stream:receive("l", { timeout = math.max(deadline - tunnel.now(), 0.001) })
    arrived = math.tointeger(line) or arrived
  until not line or tunnel.now() >= deadline
  sender:cancel()
  return arrived
end

local function ping_under_load(conn, found)
  while true do
    tunnel.sleep(0.1)
    local ping = conn:ping{ timeout = 2 }
    if ping then found[#found + 1] = ping.latency * 1000 end
  end
end

local function wait_direct(conn, seconds)
  local deadline = tunnel.now() + seconds
  while true do
    local ping = conn:ping{ timeout = 1 }
    if ping and ping.direct or tunnel.now() >= deadline then return end
    tunnel.sleep(0.05)
  end
end

function app.run(conn, args)
  local pings, tasks, bytes = {}, {}, 0
  wait_direct(conn, args.wait_direct)
  local pinger = tunnel.spawn(ping_under_load, conn, pings)
  local began = tunnel.now()
  for i = 1, args.streams do
    tasks[i] = tunnel.spawn(args.direction == "up" and up or down, conn, args)
  end
  for _, task in ipairs(tasks) do bytes = bytes + assert(task:wait()) end
  local seconds = tunnel.now() - began
  pinger:cancel()
  table.sort(pings)
  local last = conn:ping{ timeout = 2 } or {}
  print(tunnel.json.encode{
    bytes = bytes, seconds = seconds, direct = last.direct or false,
    ping_ms = pings[(#pings + 1) // 2], mbit_s = bytes * 8 / 1e6 / seconds,
  })
end

return app
