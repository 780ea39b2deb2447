-- `tunnelhost netcheck`: the network from here to the deployment's relays.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "--output", choices = { "text", "json" }, default = "text", help = "for people, or one JSON object" },
}

local function ms(seconds) return seconds and ("%.1f ms"):format(seconds * 1000) or "-" end

local function yes(flag) return flag and "yes" or "no" end

local MAPPING = {
  easy = "easy: one address for all destinations",
  hard = "hard: another port for each destination",
}

local function hints_of(report)
  local hints = {}
  local function say(text) hints[#hints + 1] = text end
  if not report.direct_allowed then say("the deployment has switched direct connections off") end
  if not report.udp then say("no STUN server answers: UDP is barred here, and all goes by relays") end
  if report.mapping == "hard" then
    say("behind a hard NAT only agents with an open address are reached directly")
  end
  if not report.home_up then say("the home relay does not answer; is a proxy or firewall in the way?") end
  if report.websockets_only then say("the deployment wants relays by WebSocket, which costs some speed") end
  return hints
end

local function print_text(report)
  print(("deployment         %s (%s)"):format(report.deployment, ms(report.deployment_latency)))
  print("UDP                " .. yes(report.udp))
  print("IPv4 from outside  " .. (report.ipv4 or "-"))
  print("IPv6 from outside  " .. (report.ipv6 or "-"))
  print("NAT                " .. (MAPPING[report.mapping] or "unknown: fewer than two STUN servers answered"))
  print("direct allowed     " .. yes(report.direct_allowed))
  print(("home relay         %s (%s)"):format(report.home_name or report.home, report.home_up and "up" or "down"))
  print("regions            latency      IPv4      IPv6")
  for _, region in ipairs(report.regions) do
    print(("  %-16s %9s %9s %9s  %s"):format(region.id, ms(region.latency), ms(region.latency_ipv4),
      ms(region.latency_ipv6), region.name or ""))
  end
  for _, hint in ipairs(hints_of(report)) do print("hint: " .. hint) end
end

function app.run(_, args)
  local report, err = tunnel.netcheck{}
  if not report then return nil, err end
  if args.output == "json" then print(tunnel.json.encode(report)) else print_text(report) end
end

return app
