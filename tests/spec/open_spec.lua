require "support"
local tunnel = require "tunnel"

describe("tunnel.open", function()
  local sim

  before_each(function() sim = assert(tunnel.simulate{}) end)
  after_each(function() sim:close() end)

  it("starts a stopped workspace and runs a command by ssh", function()
    local ws = sim:workspace{ state = "stopped" }
    local t <close> = assert(tunnel.open{ workspace = ws })
    assert.equal("init", t:state())
    local conn = assert(t:conn())
    local ssh <close> = assert(conn:ssh())
    assert.equal("foo\n", assert(ssh:exec("echo foo")).stdout)
    assert.is_true(t:wait{ state = "applicationUp", timeout = 5 })
    assert.equal("applicationUp", t:state())
    assert.equal("main", conn.agent_name)
  end)

  it("names the workspace by text, too", function()
    sim:workspace{ name = "by-name", agents = 2 }
    local t <close> = assert(sim:open{ workspace = "by-name.agent1" })
    assert.equal("agent1", assert(t:conn()).agent_name)
    local other <close> = assert(sim:open{ workspace = "by-name", agent = "main" })
    assert.equal("main", assert(other:conn()).agent_name)
  end)

  it("says which agents there are to choose from", function()
    local t <close> = assert(sim:open{ workspace = sim:workspace{ agents = 2 } })
    local ok, err = t:wait()
    assert.is_nil(ok)
    assert.equal("not_found", err.code)
    assert.matches("main, agent1", err.message)
    assert.equal(69, t:wait{ state = "exit" }.status)
  end)

  it("gives status and reason at the exit", function()
    local t <close> = assert(sim:open{ workspace = sim:workspace{} })
    assert(t:conn())
    assert.is_true(t:shutdown{ status = 7, timeout = 5 })
    local exit = assert(t:wait{ state = "exit", timeout = 0 })
    assert.equal(7, exit.status)
    assert.equal("app_done", exit.reason.kind)
    local ok, err = t:conn()
    assert.is_nil(ok)
    assert.equal("closed", err.code)
  end)

  it("knows why a workspace was lost", function()
    local ws = sim:workspace{}
    local t <close> = assert(sim:open{ workspace = ws })
    assert(t:conn())
    assert.is_true(ws:stop())
    local exit = assert(t:wait{ state = "exit", timeout = 10 })
    assert.equal("stopped", exit.reason.kind)
    assert.equal(69, exit.status)
    assert.equal("unreachable", exit.reason.code)
  end)

  it("knows that it was deleted, or that its build failed", function()
    local ws = sim:workspace{}
    local t <close> = assert(sim:open{ workspace = ws })
    assert(t:conn())
    assert(ws:delete())
    assert.equal("deleted", assert(t:wait{ state = "exit", timeout = 10 }).reason.kind)
    local broken <close> = assert(sim:open{ workspace = sim:workspace{ state = "stopped", fail = true } })
    local ok, err = broken:wait{ timeout = 10 }
    assert.is_nil(ok)
    assert.matches("failed", err.message)
    assert.equal("build_failed", broken:wait{ state = "exit" }.reason.kind)
  end)

  it("does not start what is not to be started", function()
    local ws = sim:workspace{ state = "stopped" }
    local t <close> = assert(sim:open{ workspace = ws, no_autostart = true })
    assert.equal("stopped", assert(t:wait{ state = "exit", timeout = 10 }).reason.kind)
  end)

  it("starts by a starter of one's own", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("return { start_workspace = function() return nil, 'not today' end }")
    file:close()
    local t <close> = assert(sim:open{ workspace = sim:workspace{ state = "stopped" }, starter = path })
    local exit = assert(t:wait{ state = "exit", timeout = 10 })
    os.remove(path)
    assert.equal("build_failed", exit.reason.kind)
    assert.equal("not today", exit.reason.message)
  end)

  it("runs two tunnels at once", function()
    local sizes = {}
    local group <close> = tunnel.group()
    for i = 1, 2 do
      group:spawn(function()
        local ws = sim:workspace{ on_exec = function(command, channel) channel:send(command:rep(i)) end }
        local t <close> = assert(sim:open{ workspace = ws })
        local ssh <close> = assert(assert(t:conn()):ssh())
        sizes[i] = #assert(ssh:exec("xyz")).stdout
      end)
    end
    assert(group:wait{ timeout = 20 })
    assert.same({ 3, 6 }, sizes)
  end)

  it("times out without harm", function()
    local t <close> = assert(sim:open{ workspace = sim:workspace{ state = "stopped" } })
    local ok, err = t:wait{ state = "applicationUp", timeout = 0 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    ok, err = t:conn{ timeout = 0.01 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert(t:wait{ timeout = 10 })
  end)

  it("tells its timeline and its phases", function()
    local t <close> = assert(sim:open{ workspace = sim:workspace{} })
    assert(t:wait{ timeout = 10 })
    local states = {}
    for i, step in ipairs(t:timeline()) do
      states[i] = step.state
      assert.is_true(step.at <= tunnel.now())
    end
    assert.equal("init", states[1])
    assert.equal("applicationUp", states[#states])
    assert.is_true(t:stats().phases.up > 0)
    assert.equal("applicationUp", t:stats().state)
  end)

  it("refuses what is not there yet, or makes no sense", function()
    local ws = sim:workspace{}
    local function refused(pattern, options)
      local ok, err = pcall(tunnel.open, options)
      assert.is_false(ok)
      assert.matches(pattern, err)
    end
    refused("'reconnect' is not there yet", { workspace = ws, reconnect = true })
    refused("'direct' must be a boolean", { workspace = ws, direct = "yes" })
    refused("unknown option 'colour'", { workspace = ws, colour = 1 })
    refused("'workspace' is missing", {})
    refused("needs an 'app'", { workspace = ws, args = {} })
    refused("must be a table or the path", { workspace = ws, app = 5 })
    refused("'workspace' must be a name", { workspace = 5 })
    refused("args%[1%] must be a string", { workspace = ws, app = {}, args = { {} } })
  end)

  it("has no token to give away", function()
    local t <close> = assert(sim:open{ workspace = sim:workspace{}, url = sim.url .. "/" })
    assert(t:wait{ timeout = 10 })
    local ok, err = sim:open{ workspace = sim:workspace{}, url = "http://127.0.0.1:1" }
    assert.is_nil(ok)
    assert.equal("denied", err.code)
  end)
end)

describe("tunnel.open with an app", function()
  local sim, ws

  before_each(function()
    sim = assert(tunnel.simulate{})
    ws = sim:workspace{}
  end)
  after_each(function() sim:close() end)

  it("runs a job in the caller's own state", function()
    local seen
    local app = {
      options = { { "word" }, { "--times", type = "integer", default = 2 } },
      init = function(args) seen = { args.word } end,
      run = function(conn, args, attempt)
        local ssh <close> = assert(conn:ssh())
        seen[2] = assert(ssh:exec("echo " .. args.word:rep(args.times))).stdout
        seen[3] = attempt
        return 5
      end,
      close = function(reason) seen[4] = reason.kind end,
    }
    local t <close> = assert(sim:open{ workspace = ws, app = app, args = { "ab" } })
    local exit = assert(t:wait{ state = "exit", timeout = 10 })
    assert.equal(5, exit.status)
    assert.equal("app_done", exit.reason.kind)
    assert.same({ "ab", "abab\n", 1, "app_done" }, seen)
  end)

  it("runs a service until it is shut down", function()
    local states, closed, ticking = {}, nil, 0
    local app = {
      start = function(conn)
        tunnel.spawn(function() while true do ticking = ticking + 1 tunnel.sleep(0.01) end end)
        tunnel.spawn(function() conn.tunnel:state() tunnel.sleep(0.05) conn.tunnel:shutdown{ status = 4 } end)
      end,
      on_state = function(_, to) states[#states + 1] = to end,
      close = function(reason) closed = reason.kind tunnel.sleep(0.01) end,
    }
    local t <close> = assert(sim:open{ workspace = ws, app = app })
    assert(t:wait{ timeout = 10 })
    local exit = assert(t:wait{ state = "exit", timeout = 10 })
    assert.equal(4, exit.status)
    assert.equal("app_done", closed)
    assert.matches("applicationUp shutdownApplication", table.concat(states, " "))
    local before = ticking
    assert.is_true(before > 0)
    tunnel.sleep(0.05)
    assert.equal(before, ticking)      -- its tasks have ended with it
  end)

  it("fails with the error of start", function()
    local t <close> = assert(sim:open{ workspace = ws, app = { start = function() return nil, "no luck" end } })
    local ok, err = t:wait{ timeout = 10 }
    assert.is_nil(ok)
    assert.equal("no luck", err.message)
    local exit = t:wait{ state = "exit" }
    assert.equal("app_failed", exit.reason.kind)
    assert.equal(1, exit.status)
  end)

  it("fails with status 70 for a bug, 64 for wrong arguments, 78 for no app", function()
    local function status(options)
      options.workspace = ws
      local t <close> = assert(sim:open(options))
      return assert(t:wait{ state = "exit", timeout = 10 }).status
    end
    assert.equal(70, status{ app = { run = function() local x = nil; return x.y end } })
    assert.equal(64, status{ app = { run = print, options = { { "--n", required = true } } } })
    assert.equal(78, status{ app = {} })
    assert.equal(78, status{ app = "/nonexistent/app.lua" })
  end)

  it("ends the app's tasks when it is given up", function()
    local alive = true
    local app = { run = function()
      local _ <close> = setmetatable({}, { __close = function() alive = false end })
      tunnel.sleep(100)
    end }
    local t = assert(sim:open{ workspace = ws, app = app, shutdown_timeout = 1 })
    assert(t:wait{ timeout = 10 })
    t:close()
    tunnel.sleep(0.01)
    assert.is_false(alive)
    assert.is_true(t:close())
    assert.has_error(function() t:state() end)
  end)
end)
