require "support"
local tunnel = require "tunnel"

describe("conn:speedtest", function()
  local sim, t, conn

  before_each(function()
    sim = assert(tunnel.simulate{})
    t = assert(sim:open{ workspace = sim:workspace{} })
    conn = assert(t:conn{ timeout = 20 })
  end)
  after_each(function()
    t:shutdown{ timeout = 5 }
    assert(sim:close())
  end)

  for _, direction in ipairs{ "down", "up" } do
    it("measures " .. direction, function()
      local result = assert(conn:speedtest{ direction = direction, duration = 1.5 })
      assert.is_true(result.seconds >= 1.5 and result.seconds < 3)
      assert.is_true(result.bytes > 100000)
      assert.is_true(#result.samples >= 2)
      local sum = 0
      for _, sample in ipairs(result.samples) do sum = sum + sample.bytes end
      assert.equal(result.bytes, sum)
    end)
  end

  it("refuses nonsense at the caller's place", function()
    assert.has_error(function() conn:speedtest{ direction = "sideways" } end)
    assert.has_error(function() conn:speedtest{ duration = 0 } end)
    assert.has_error(function() conn:speedtest{ duration = 61 } end)
    assert.has_error(function() conn:speedtest{ durations = 5 } end)
  end)

  it("ends with the tunnel", function()
    local task = tunnel.spawn(function() return conn:speedtest{ duration = 30 } end)
    tunnel.sleep(0.3)
    t:shutdown{}
    local result, err = task:wait()
    assert.is_nil(result)
    assert.is_not_nil(err)
  end)

  it("is dropped with its task", function()
    local task = tunnel.spawn(function() return conn:speedtest{ duration = 30 } end)
    tunnel.sleep(0.3)
    task:cancel()
    local result, err = task:wait()
    assert.is_nil(result)
    assert.equal("canceled", err.code)
    assert.is_truthy(conn:ping())
  end)
end)
