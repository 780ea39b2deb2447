require "support"
local tunnel = require "tunnel"

describe("tunnel in a plain lua5.4", function()
  it("sleeps on the main thread", function()
    local before = tunnel.now()
    tunnel.sleep(0.02)
    assert.is_true(tunnel.now() - before >= 0.02)
  end)

  it("runs tasks while the main thread waits", function()
    local order = {}
    local slow = tunnel.spawn(function() tunnel.sleep(0.02) order[#order + 1] = "slow" return 1 end)
    local quick = tunnel.spawn(function() order[#order + 1] = "quick" end)
    assert.equal(1, slow:wait())
    quick:wait()
    assert.same({ "quick", "slow" }, order)
  end)

  it("gives errors as values", function()
    local ok, err = tunnel.channel(1):receive{ timeout = 0.01 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.equal("nothing was sent", tostring(err))
  end)

  it("raises misuse at the caller", function()
    local ok, err = pcall(function() tunnel.sleep("x") end)
    assert.is_false(ok)
    assert.matches("tunnel_spec.lua:%d+: bad argument #1", err)
  end)

  it("runs a function as a task", function()
    assert.equal(7, tunnel.run(function(x) tunnel.sleep(0.01) return x end, 7))
    assert.has_error(function() tunnel.run(function() error("oops", 0) end) end)
  end)

  it("cancels with <close> variables", function()
    local closed = false
    local task = tunnel.spawn(function()
      local _ <close> = setmetatable({}, { __close = function() tunnel.sleep(0.01) closed = true end })
      tunnel.sleep(100)
    end)
    tunnel.sleep(0.01)
    task:close()
    assert.is_true(closed)
  end)

  it("serves and connects on loopback", function()
    local listener = assert(tunnel.listen("127.0.0.1:0", function(stream)
      for line in stream:lines() do stream:send(line:upper() .. "\n") end
    end))
    local stream = assert(tunnel.connect(listener:local_address()))
    stream:send("one\ntwo\n")
    stream:shutdown("send")
    assert.equal("ONE\nTWO\n", stream:receive("a"))
    stream:close()
    listener:close()
  end)

  it("waits in a coroutine that is not ours", function()
    local co = coroutine.wrap(function() tunnel.sleep(0.01) return "done" end)
    assert.equal("done", co())
  end)

  it("says that nothing is left to wait for", function()
    local ok, err = tunnel.connect("127.0.0.1:1")
    assert.is_nil(ok)
    assert.equal("refused", err.code)
  end)
end)
