-- `tunnelhost speedtest W`: how much the tunnel carries, by the agent's own speed test.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "--direction", choices = { "down", "up" }, default = "down", help = "of the data, seen from here" },
  { "--time", type = "number", min = 1, max = 60, default = 5, metavar = "SECONDS",
    help = "for how long" },
  { "--direct", type = "boolean", help = "wait until the path is direct (at most 20 s)" },
  { "--output", choices = { "table", "json" }, default = "table", help = "rows, or one JSON object" },
}

local function mbits(bytes, seconds)
  return seconds > 0 and bytes * 8 / seconds / 1e6 or 0
end

local function row(from, to, bytes)
  return ("%6.2f-%-6.2f s  %12.4f Mbits/sec"):format(from, to, mbits(bytes, to - from))
end

local function path_of(ping)
  if not ping then return "unknown" end
  return ping.direct and "direct " .. (ping.endpoint or "") or "relay " .. (ping.derp_region or "")
end

local function wait_for_direct(conn)
  local deadline = tunnel.now() + 20
  while tunnel.now() < deadline do
    local ping, err = conn:ping{ timeout = 5 }
    if not ping then return nil, err end
    if ping.direct then return true end
    tunnel.sleep(0.25)
  end
  return nil, "no direct path within 20 s"
end

local function print_table(result, path)
  print("Interval         Throughput")
  for _, sample in ipairs(result.samples) do print(row(sample.from, sample.to, sample.bytes)) end
  print("----------------------------------------")
  print(row(0, result.seconds, result.bytes))
  print("by " .. path)
end

local function print_json(result, path, direction)
  local intervals = {}
  for i, sample in ipairs(result.samples) do
    intervals[i] = {
      start_time_seconds = sample.from, end_time_seconds = sample.to,
      throughput_mbits = mbits(sample.bytes, sample.to - sample.from),
    }
  end
  print(tunnel.json.encode{
    overall = {
      start_time_seconds = 0, end_time_seconds = result.seconds,
      throughput_mbits = mbits(result.bytes, result.seconds),
    },
    intervals = intervals, direction = direction, bytes = result.bytes, path = path,
  })
end

function app.run(conn, args)
  if args.direct then
    local direct, why = wait_for_direct(conn)
    if not direct then return nil, why end
  end
  local result, err = conn:speedtest{ direction = args.direction, duration = args.time }
  if not result then return nil, err end
  local path = path_of(conn:ping())
  if args.output == "json" then print_json(result, path, args.direction) else print_table(result, path) end
end

return app
