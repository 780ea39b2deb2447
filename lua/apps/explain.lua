-- `tunnelhost explain W`: where the time goes, and which way the packets.
local tunnel = require "tunnel"

local app = {}

app.options = {
  { "--direct-wait", type = "number", min = 0, default = 3, metavar = "SECONDS",
    help = "how long a direct path may take to be found" },
  { "--output", choices = { "text", "json" }, default = "text", help = "for people, or one JSON object" },
}

-- The order in which they come; one without a time did not happen.
local PHASES = {
  { "coordinate", "coordinator reached" },
  { "relay", "home relay reached" },
  { "peer", "agent's node known" },
  { "session", "WireGuard handshake" },
  { "up", "agent answers" },
  { "direct", "direct path found" },
}

local STATES = {
  init = "watch: first build state",
  waitToStart = "another build ends",
  waitForWorkspaceStarted = "workspace is started",
  waitForAgent = "agent comes up",
  establishTailnet = "tunnel is made",
  tailnetUp = "application starts",
  applicationUp = "application runs",
}

local WIDTH = 30

local function bar(from, to, total)
  local left = total > 0 and math.floor(from / total * WIDTH) or 0
  local width = total > 0 and math.max(1, math.floor((to - from) / total * WIDTH + 0.5)) or 0
  return (" "):rep(left) .. ("#"):rep(math.min(width, WIDTH - left))
end

local function line(what, from, to, total)
  print(("  %-28s %9.1f ms %9.1f ms  |%-30s|"):format(what, (to - from) * 1000, to * 1000, bar(from, to, total)))
end

local function states_of(stats)
  local states = {}
  for i, step in ipairs(stats.timeline) do
    local next_step = stats.timeline[i + 1]
    local began = stats.timeline[1].at
    if next_step then
      states[#states + 1] = { state = step.state, from = step.at - began, to = next_step.at - began }
    end
  end
  return states
end

local function phases_of(stats)
  local phases, before = {}, 0
  for _, phase in ipairs(PHASES) do
    local at = stats.phases[phase[1]]
    if at then
      phases[#phases + 1] = { phase = phase[1], what = phase[2], from = math.min(before, at), to = at }
      before = math.max(before, at)
    end
  end
  table.sort(phases, function(a, b) return a.to < b.to end)
  return phases
end

local function advice_of(stats)
  local advice, path, network = {}, stats.path, stats.network
  local function say(...) advice[#advice + 1] = (...):format(select(2, ...)) end
  if not network.direct_allowed then
    say("direct connections are switched off; all goes by the relay %s", path.derp_region or "")
  elseif not path.direct and not network.udp then
    say("no STUN server answers by UDP: a firewall may bar it, and all goes by the relay")
  elseif not path.direct and network.mapping == "hard" then
    say("this network's NAT gives each destination another port: direct paths need a port forward or IPv6")
  elseif not path.direct and #stats.candidates == 0 then
    say("the agent has told no endpoints: direct connections may be switched off there")
  elseif not path.direct then
    say("none of the agent's %d endpoints answers from here", #stats.candidates)
  end
  if not network.home_up then say("the home relay %s is not connected", network.home_name or "") end
  return advice
end

local function print_path(stats, ping)
  local path = stats.path
  if path.direct then
    print(("path: direct to %s, %.3f ms"):format(path.endpoint, ((ping or path).latency or 0) * 1000))
  else
    print(("path: relay %s, %.3f ms"):format(path.derp_region or "?", ping and ping.latency * 1000 or 0))
  end
  for _, candidate in ipairs(stats.candidates) do
    print(("  %s %-48s %s"):format(candidate.used and "*" or " ", candidate.endpoint,
      candidate.latency and ("%.3f ms"):format(candidate.latency * 1000) or "no answer"))
  end
end

local function print_text(report)
  local states, phases = report.states, report.phases
  print("                                      takes        at")
  local total = #states > 0 and states[#states].to or 0
  for _, step in ipairs(states) do
    line(STATES[step.state] or step.state, step.from, step.to, total)
  end
  print("of which the tunnel:")
  total = #phases > 0 and phases[#phases].to or 0
  for _, phase in ipairs(phases) do line(phase.what, phase.from, phase.to, total) end
  line("first byte of a command", 0, report.first_byte, report.first_byte)
  print_path(report.stats, report.ping)
  for _, hint in ipairs(report.advice) do print("hint: " .. hint) end
end

-- A direct path may be found a moment after the agent has answered.
local function settle(conn, seconds)
  local deadline = tunnel.now() + seconds
  local stats = assert(conn:stats())
  while not stats.path.direct and stats.network.direct_allowed and tunnel.now() < deadline do
    tunnel.sleep(0.05)
    local ping, err = conn:ping()
    if not ping then return nil, err end
    stats = assert(conn:stats())
  end
  return stats
end

function app.run(conn, args)
  local began = tunnel.now()
  local ssh <close> = assert(conn:ssh())
  assert(ssh:exec("true"))
  local first_byte = tunnel.now() - began
  local stats, err = settle(conn, args.direct_wait)
  if not stats then return nil, err end
  local report = {
    states = states_of(stats), phases = phases_of(stats), first_byte = first_byte,
    stats = stats, ping = conn:ping(), advice = advice_of(stats),
  }
  if args.output == "json" then print(tunnel.json.encode(report)) else print_text(report) end
end

return app
