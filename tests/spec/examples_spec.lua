local support = require "support"
local tunnel = require "tunnel"
local options = require "tunnel.options"

-- Runs an example against a simulated workspace; what it writes, and its results.
local function run(name, ws, sim, words)
  local app = dofile(support.root .. "/examples/" .. name .. ".lua")
  local t <close> = assert(sim:open{ workspace = ws })
  local conn = assert(t:conn{ timeout = 20 })
  local args = assert(options.parse(app.options, words, name))
  local written = {}
  local function keep(...)
    for i = 1, select("#", ...) do written[#written + 1] = tostring((select(i, ...))) end
    return true
  end
  local write, print_ = io.write, print
  io.write, _G.print = keep, keep      -- luacheck: ignore
  local results = table.pack(pcall(app.run or app.start, conn, args, 1))
  io.write, _G.print = write, print_   -- luacheck: ignore
  assert(results[1], results[2])
  return table.concat(written), results[2], results[3], conn
end

describe("the examples", function()
  local sim

  before_each(function() sim = assert(tunnel.simulate{}) end)
  after_each(function() sim:close() end)

  it("hello says foo", function()
    local output, status = run("hello", sim:workspace{ state = "stopped" }, sim, {})
    assert.equal("foo\n", output)
    assert.equal(0, status)
  end)

  it("hello runs what it is told, and gives its status", function()
    local output, status = run("hello", sim:workspace{}, sim, { "echo bar; exit 3" })
    assert.equal("bar\n", output)
    assert.equal(3, status)
  end)

  it("port_forward forwards", function()
    local app = dofile(support.root .. "/examples/port_forward.lua")
    local ws = sim:workspace{ ports = { [8080] = function(stream)
      stream:send("you said " .. stream:receive("l") .. "\n")
    end } }
    local address
    local print_ = print
    _G.print = function(text) address = text:match("forwarding (%S+) to port 8080") end  -- luacheck: ignore
    local t <close> = assert(sim:open{ workspace = ws, app = app, args = { "127.0.0.1:0=8080" } })
    local up, err = t:wait{ timeout = 20 }
    _G.print = print_                    -- luacheck: ignore
    assert(up, err)
    local stream <close> = assert(tunnel.connect(address))
    stream:send("hello\n")
    assert.equal("you said hello\n", stream:receive("a"))
    t:shutdown()
    local gone
    gone, err = tunnel.connect(address)
    assert.is_nil(gone)
    assert.equal("refused", err.code)
  end)

  it("start_then_exec waits for its port, and stops at the first failure", function()
    local ws = sim:workspace{
      state = "stopped",
      ports = { [5432] = function() end },
      on_exec = function(command, channel)
        channel:send(command .. ";")
        if command == "two" then return 9 end
      end,
    }
    local output, status = run("start_then_exec", ws, sim, { "--port", "5432", "one", "two", "three" })
    assert.equal("one;two;", output)
    assert.equal(9, status)
  end)

  it("start_then_exec gives up when its patience ends", function()
    local listener = assert(tunnel.listen("127.0.0.1:0", print))
    local free = listener:local_address():match(":(%d+)$")
    listener:close()
    local _, ok, err = run("start_then_exec", sim:workspace{}, sim, { "--port", free, "--patience", "0.2", "x" })
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
  end)
end)
