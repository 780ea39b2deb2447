require "support"
local tunnel = require "tunnel"

describe("tunnel.simulate", function()
  local sim

  before_each(function() sim = assert(tunnel.simulate{}) end)
  after_each(function() sim:close() end)

  local function connect(ws)
    local t = assert(sim:open{ workspace = ws })
    return t, assert(t:conn{ timeout = 20 })
  end

  it("has a URL, a token, and workspaces with a name and an id", function()
    assert.matches("^http://127%.0%.0%.1:%d+$", sim.url)
    assert.is_true(#sim.token > 20)
    local ws = sim:workspace{}
    assert.equal("workspace", ws.name)
    assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", ws.id)
    assert.equal("workspace2", sim:workspace{}.name)
    assert.is_nil(ws.colour)
    assert.is_nil(sim.colour)
    local none, err = sim:workspace{ name = "workspace" }
    assert.is_nil(none)
    assert.equal("conflict", err.code)
  end)

  it("lets a function answer commands", function()
    local seen
    local ws = sim:workspace{ on_exec = function(command, channel, request)
      seen = { command, request.kind, request.env.NAME }
      request.stderr:send("to stderr\n")
      tunnel.sleep(0.01)
      channel:send(channel:receive("a"):upper())
      return 3
    end }
    local t <close>, conn = connect(ws)
    local ssh <close> = assert(conn:ssh())
    local result = assert(ssh:exec("do it", { stdin = "hello", env = { NAME = "value" } }))
    assert.same({ "do it", "exec", "value" }, seen)
    assert.equal("HELLO", result.stdout)
    assert.equal("to stderr\n", result.stderr)
    assert.equal(3, result.status)
    assert(t)
  end)

  it("tells on stderr when that function fails", function()
    local ws = sim:workspace{ on_exec = function(command)
      if command == "bug" then error("oh no", 0) end
      return nil, "cannot"
    end }
    local t <close>, conn = connect(ws)
    local ssh <close> = assert(conn:ssh())
    local result = assert(ssh:exec("bug"))
    assert.equal(70, result.status)
    assert.matches("oh no", result.stderr)
    result = assert(ssh:exec("other"))
    assert.equal(1, result.status)
    assert.equal("cannot\n", result.stderr)
    assert(t)
  end)

  it("survives a client that goes in the middle of a command", function()
    local failure
    local ws = sim:workspace{ on_exec = function(_, channel)
      repeat
        local ok, err = channel:send("x")
        failure = err
        tunnel.sleep(0.01)
      until not ok
    end }
    local t <close>, conn = connect(ws)
    local ssh = assert(conn:ssh())
    local channel = assert(ssh:open("endless"))
    assert.equal("x", channel:receive(1))
    ssh:close()
    for _ = 1, 200 do
      if failure then break end
      tunnel.sleep(0.01)
    end
    assert.equal("closed", failure.code)
    assert(t)
  end)

  it("lets a function serve a port: an echo of 1 MiB", function()
    local ws = sim:workspace{ ports = { [80] = function(stream)
      repeat
        local data = stream:receive_any()
        if data then stream:send(data) end
      until not data
    end } }
    local t <close>, conn = connect(ws)
    local stream <close> = assert(conn:dial("tcp", 80))
    local data = ("0123456789abcdef"):rep(65536)
    local sender = tunnel.spawn(function()
      assert(stream:send(data))
      return stream:shutdown("send")
    end)
    local echo = assert(stream:receive("a"))
    assert.is_true(echo == data)
    assert(sender:wait())
    assert(t)
  end)

  it("refuses a port that nobody serves", function()
    local t <close>, conn = connect(sim:workspace{})
    local listener = assert(tunnel.listen("127.0.0.1:0", print))
    local free = tonumber(listener:local_address():match(":(%d+)$"))
    listener:close()
    local stream, err = conn:dial("tcp", free)
    assert.is_nil(stream)
    assert.equal("refused", err.code)
    assert(t)
  end)

  it("counts how often a fault has fired", function()
    local ws = sim:workspace{}
    local fault = sim:fail{ path = "/connection", status = 500, times = 1 }
    assert.equal(0, fault.fired)
    local t <close> = assert(sim:open{ workspace = ws })
    local ok = t:wait{ timeout = 10 }
    assert.is_nil(ok)
    assert.equal(1, fault.fired)
    assert.equal("unreachable", t:wait{ state = "exit" }.reason.kind)
  end)

  it("drops the relay under a tunnel, which comes back", function()
    local t <close>, conn = connect(sim:workspace{})
    assert.is_true(sim:drop("watch").fired >= 1)
    assert.is_true(sim:drop("coordinate").fired >= 1)
    assert.is_true(sim:drop("derp").fired >= 1)
    local ssh <close> = assert(conn:ssh{ timeout = 20 })
    assert.equal("still\n", assert(ssh:exec("echo still")).stdout)
    assert.equal("applicationUp", t:state())
  end)

  it("emits events of its own", function()
    local ws = sim:workspace{}
    local t <close> = assert(sim:open{ workspace = ws })
    assert(t:wait{ timeout = 10 })
    local fault = ws:emit{ build_update = { transition = "delete", job_status = "running" } }
    assert.equal(1, fault.fired)
    assert.equal("deleted", assert(t:wait{ state = "exit", timeout = 10 }).reason.kind)
  end)

  it("restarts an agent", function()
    local ws = sim:workspace{}
    local t <close>, conn = connect(ws)
    local ssh = assert(conn:ssh())
    local fault = ws:restart_agent()
    tunnel.sleep(0.01)
    assert.equal(1, fault.fired)
    ssh:close()
    assert(t)
  end)

  it("fails to close over an open tunnel, but closes", function()
    local other = assert(tunnel.simulate{})
    local ws = other:workspace{}
    local fault = other:fail{ path = "/nothing" }
    local t = assert(other:open{ workspace = ws })
    assert(t:wait{ timeout = 10 })
    assert.has_error(function() other:close() end, "the simulation was closed with 1 of its tunnels still open")
    assert.equal("exit", t:state())
    assert.matches("simulation was closed", t:wait{ state = "exit" }.reason.message)
    assert.equal(0, fault.fired)
    assert.has_error(function() ws:stop() end)
    assert.is_true(other:close())
    t:close()
  end)

  it("refuses what is not there yet, or makes no sense", function()
    local function refused(pattern, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    refused("'virtual' is not there yet", tunnel.simulate, { virtual = true })
    refused('"running" or "stopped"', sim.workspace, sim, { state = "asleep" })
    refused("'a b' is no name", sim.workspace, sim, { name = "a b" })
    refused("port 80 must be a function", sim.workspace, sim, { ports = { [80] = 5 } })
    refused("port 22 cannot have a handler", sim.workspace, sim, { ports = { [22] = print } })
    refused("which path", sim.fail, sim, {})
    refused("invalid option 'x'", sim.drop, sim, "x")
  end)

  it("has parameters that a starter sees", function()
    local ws = sim:workspace{ parameters = {
      { name = "size", type = "string", default_value = "small", mutable = true },
    } }
    assert.equal("workspace", ws.name)
  end)
end)
