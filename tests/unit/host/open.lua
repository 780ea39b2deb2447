-- What ends when, and in which order: for sanitizers. What it does: tests/spec.
local tunnel = require "tunnel"
local check = require "check"
local t = {}

function t.a_stopped_workspace()
  local sim <close> = assert(tunnel.simulate{})
  local opened <close> = assert(sim:open{ workspace = sim:workspace{ state = "stopped" } })
  local conn = assert(opened:conn())
  check.equal("main", conn.agent_name)
  local ssh <close> = assert(conn:ssh())
  check.equal("foo\n", assert(ssh:exec("echo foo")).stdout)
  check.equal(true, opened:shutdown{ status = 3 })
  check.equal(3, opened:wait{ state = "exit" }.status)
end

function t.handlers()
  local sim <close> = assert(tunnel.simulate{})
  local ws = sim:workspace{
    on_exec = function(command, channel, request)
      request.stderr:send("err")
      request.stderr:close()
      channel:send(command)
      return #command
    end,
    ports = { [80] = function(stream) stream:send(stream:receive("a")) end },
  }
  local opened <close> = assert(sim:open{ workspace = ws })
  local conn = assert(opened:conn())
  local ssh <close> = assert(conn:ssh())
  local result = assert(ssh:exec("four"))
  check.equal(4, result.status)
  check.equal("err", result.stderr)
  local stream <close> = assert(conn:dial("tcp", 80))
  stream:send("abc")
  stream:shutdown("send")
  check.equal("abc", stream:receive("a"))
end

function t.a_closed_simulation_ends_everything()
  local sim = assert(tunnel.simulate{})
  local handled
  local ws = sim:workspace{
    on_exec = function(_, channel)
      channel:send("x")
      local _, err = channel:receive(1)
      handled = err
    end,
    ports = { [80] = function(stream) stream:send("x") tunnel.sleep(100) end },
  }
  local app = { start = function() tunnel.spawn(tunnel.sleep, 100) end }
  local opened <close> = assert(sim:open{ workspace = ws, app = app })
  local conn = assert(opened:conn())
  local ssh <close> = assert(conn:ssh())
  local channel = assert(ssh:open("x"))
  check.equal("x", channel:receive(1))
  local stream <close> = assert(conn:dial("tcp", 80))
  check.equal("x", stream:receive(1))
  check.raises("1 of its tunnels still open", sim.close, sim)
  check.code("unreachable", opened:wait{ state = "tailnetUp" } and nil, { code = "unreachable" })
  check.equal("exit", opened:state())
  check.code("closed", conn:dial("tcp", 80))
  tunnel.sleep(0.01)
  check.equal(true, handled ~= nil)
end

function t.a_handler_cannot_close_its_simulation()
  local sim <close> = assert(tunnel.simulate{})
  local ws = sim:workspace{ on_exec = function() sim:close() end }
  local opened <close> = assert(sim:open{ workspace = ws })
  local ssh <close> = assert(assert(opened:conn()):ssh())
  local result = assert(ssh:exec("x"))
  check.equal(70, result.status)
  check.equal(true, result.stderr:find("cannot close it", 1, true) ~= nil)
end

function t.apps_in_our_own_state()
  local sim <close> = assert(tunnel.simulate{})
  local ws = sim:workspace{}
  local events = {}
  local app = {
    options = { { "n", type = "integer" } },
    init = function(args) events[#events + 1] = args.n end,
    start = function(conn)
      local listener = assert(tunnel.listen("127.0.0.1:0", print))
      tunnel.spawn(function() tunnel.sleep(0.02) conn.tunnel:shutdown{ status = 9 } listener:local_address() end)
    end,
    close = function(reason) events[#events + 1] = reason.kind end,
    on_state = function(_, to) events[to] = true end,
  }
  local one <close> = assert(sim:open{ workspace = ws, app = app, args = { "1" } })
  local two <close> = assert(sim:open{ workspace = ws, app = app, args = { "x" } })
  check.equal(9, one:wait{ state = "exit" }.status)
  check.equal(64, two:wait{ state = "exit" }.status)
  check.equal("1 app_done", table.concat(events, " "))
  check.equal(true, events.applicationUp)
end

function t.an_app_that_is_dropped_while_it_loads()
  local sim <close> = assert(tunnel.simulate{})
  local ended
  local app = {
    init = function()
      local _ <close> = setmetatable({}, { __close = function() ended = true end })
      pcall(tunnel.sleep, 100)
      tunnel.sleep(100)
    end,
    start = function() error("never") end,
  }
  local opened = assert(sim:open{ workspace = sim:workspace{}, app = app })
  tunnel.sleep(0.01)
  opened:close()
  tunnel.sleep(0.01)
  check.equal(true, ended)
end

function t.shutdown_at_every_moment()
  local sim <close> = assert(tunnel.simulate{})
  local ws = sim:workspace{}
  for i = 0, 12 do
    local opened <close> = assert(sim:open{ workspace = ws, app = { start = function() tunnel.sleep(0.002) end } })
    if i > 0 then tunnel.sleep(i / 1000) end
    check.equal(true, opened:shutdown{ status = i, timeout = 10 })
    check.equal(i, opened:wait{ state = "exit" }.status)
  end
end

function t.a_starter_that_is_cut_short()
  local sim <close> = assert(tunnel.simulate{})
  local opened = assert(sim:open{ workspace = sim:workspace{ state = "stopped" } })
  assert(opened:wait{ state = "waitForWorkspaceStarted" })
  opened:close()
end

function t.faults_outlive_their_simulation()
  local sim = assert(tunnel.simulate{})
  local ws = sim:workspace{}
  local opened = assert(sim:open{ workspace = ws })
  assert(opened:wait())
  local fault = sim:drop("watch")
  opened:close()
  sim:close()
  check.equal(1, fault.fired)
  check.raises("is closed", ws.stop, ws)
  check.raises("simulation is closed", tunnel.open, { workspace = ws })
end

return check.app(t)
