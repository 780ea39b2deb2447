-- Leaves everything open, at every stage: the host has to clear up.
local tunnel = require "tunnel"

local function app()
  return { start = function(conn)
    tunnel.spawn(function() conn:ssh() tunnel.sleep(100) end)
  end }
end

return {
  run = function()
    local sim = assert(tunnel.simulate{})
    local ws = sim:workspace{
      on_exec = function(_, channel) channel:send("x") tunnel.sleep(100) end,
      ports = { [80] = function(stream) stream:send("x") tunnel.sleep(100) end },
    }
    local stopped = sim:workspace{ state = "stopped" }
    local up = assert(sim:open{ workspace = ws, app = app() })
    local conn = assert(up:conn())
    local ssh = assert(conn:ssh())
    assert(assert(ssh:open("x")):receive(1) == "x")
    local stream = assert(conn:dial("tcp", 80))
    assert(stream:receive(1) == "x")
    local starting = assert(sim:open{ workspace = stopped })
    assert(starting:wait{ state = "waitForWorkspaceStarted" })
    tunnel.spawn(function() starting:wait() end)
    tunnel.spawn(function() up:shutdown() end)
    assert(sim:open{ workspace = ws, app = app() })
    sim:fail{ path = "/x" }
    conn:dial("tcp", 80)
  end,
}
