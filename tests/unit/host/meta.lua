-- lua/tunnel/meta.lua and the registered functions name the same things.
local tunnel = require "tunnel"
local check = require "check"
local t = {}

-- Names by class: { ["tunnel"] = { spawn = true }, ["tunnel.task"] = … }
local function read(text)
  local classes, at, variables = {}, nil, {}
  for line in text:gmatch("[^\n]+") do
    local class = line:match("^%-%-%-@class ([%w_.]+)")
    local variable = line:match("^local ([%w_]+) = {}") or line:match("^(tunnel%.%w+) = {}")
    local field = line:match("^%-%-%-@field ([%w_]+)")
    local owner, name = line:match("^function ([%w_.]-)[.:]([%w_]+)%(")
    if class then
      at = class
      classes[at] = classes[at] or {}
    elseif variable then
      variables[variable] = at
    elseif field then
      classes[at][field] = true
    elseif owner then
      classes[variables[owner] or owner][name] = true
    end
  end
  return classes
end

local function expect(class, named, real)
  for name in pairs(real) do
    if not named[name] then error(("%s.%s is not in meta.lua"):format(class, name), 0) end
  end
  for name in pairs(named) do
    if not real[name] then error(("%s.%s is only in meta.lua"):format(class, name), 0) end
  end
end

-- The methods behind a metatable of the registry (specs have `debug`).
local function methods_of(class)
  local metatable = debug.getregistry()["tunnel." .. class]
  if not metatable then error("no " .. class .. " was made", 0) end
  local index = metatable.__index
  if type(index) == "function" then
    local _, methods = debug.getupvalue(index, 1)
    index = methods
  end
  return index
end

local FIELDS = {   -- computed by __index, so no methods
  conn = { "tunnel", "agent_id", "agent_name", "address" },
  ssh_channel = { "stderr" },
  fault = { "fired" },
  simulation = { "url", "token" },
  simulated_workspace = { "name", "id" },
}

local function source()
  local file = assert(io.open(debug.getinfo(1, "S").source:match("^@(.*)tests/unit/") ..
    "lua/tunnel/meta.lua"))
  local text = file:read("a")
  file:close()
  return text
end

-- One object of each kind, so that its metatable is registered.
local function make_one_of_each()
  local sim <close> = assert(tunnel.simulate{})
  local workspace <close> = assert(sim:workspace{ ports = { [7] = function(stream) stream:receive() end } })
  local fault <close> = sim:fail{ path = "/nothing" }
  local opened <close> = assert(sim:open{ workspace = workspace })
  local conn <close> = assert(opened:conn())
  local listener = assert(tunnel.listen("127.0.0.1:0", print))
  local guard <close> = tunnel.mutex():lock()
  local ssh <close> = assert(conn:ssh())
  local made = {
    listener, tunnel.spawn(print), tunnel.group(), tunnel.channel(1), guard,
    assert(conn:dial("tcp", 7)), assert(conn:dial("udp", 7)), assert(ssh:open("true")),
  }
  for _, object in ipairs(made) do object:close() end
  assert(fault.fired == 0)
end

function t.names()
  local classes = read(source())
  local plain = {}
  for name, value in pairs(tunnel) do
    if type(value) ~= "table" then plain[name] = true end
  end
  expect("tunnel", classes["tunnel"], plain)
  for _, name in ipairs{ "log", "json", "fsm" } do
    expect(name, classes["tunnel." .. name], tunnel[name])
  end
  make_one_of_each()
  for _, class in ipairs{ "listener", "task", "group", "channel", "mutex", "guard", "stream",
    "datagram", "conn", "tunnel", "ssh", "ssh_channel",
    "opened", "fault", "simulation", "simulated_workspace" } do
    local named = classes["tunnel." .. class]
    for _, field in ipairs(FIELDS[class] or {}) do
      check.equal(true, named[field], class .. "." .. field)
      named[field] = nil
    end
    expect(class, named, methods_of(class))
  end
end

return check.app(t)
