require "support"
local tunnel = require "tunnel"

describe("netcheck", function()
  local sim

  before_each(function() sim = assert(tunnel.simulate{}) end)
  after_each(function() assert(sim:close()) end)

  it("reports the deployment's relays and our address", function()
    local report = assert(sim:netcheck{})
    assert.equal(sim.url, report.deployment)
    assert.is_true(report.udp)
    assert.is_true(report.home_up)
    assert.is_true(report.direct_allowed)
    assert.matches("^127%.0%.0%.1:%d+$", report.ipv4)
    assert.equal(report.home, report.regions[1].id)
    for _, region in ipairs(report.regions) do
      assert.is_true(region.latency > 0 and region.latency < 3)
    end
  end)

  it("says who is out of reach, and what is no option", function()
    assert.has_error(function() sim:netcheck{ url = "http://127.0.0.1:1" } end)
    local none, err = tunnel.netcheck{ url = "http://127.0.0.1:1" }
    assert.is_nil(none)
    assert.is_not_nil(err.code)
  end)

  it("is dropped with its task, and with the simulation", function()
    local task = tunnel.spawn(function() return sim:netcheck{} end)
    tunnel.sleep(0)
    task:cancel()
    local _, err = task:wait()
    assert.equal("canceled", err.code)
  end)
end)

describe("conn:stats", function()
  it("tells path, phases, candidates, network and states", function()
    local sim = assert(tunnel.simulate{})
    local t = assert(sim:open{ workspace = sim:workspace{} })
    local conn = assert(t:conn{ timeout = 20 })
    local deadline = tunnel.now() + 5
    local stats
    repeat
      assert(conn:ping())
      stats = assert(conn:stats())
    until stats.path.direct or tunnel.now() > deadline
    assert.is_true(stats.path.direct)
    assert.matches("^.+:%d+$", stats.path.endpoint)
    assert.is_true(stats.phases.up > 0)
    assert.is_true(stats.phases.direct > 0)
    assert.is_true(#stats.candidates > 0)
    assert.is_true(stats.network.udp)
    assert.equal("init", stats.timeline[1].state)
    assert.is_true(stats.handshakes >= 1)
    assert.is_true(t:stats().path.direct)
    assert(t:shutdown{ timeout = 5 })
    assert(sim:close())
    local none, err = conn:stats()
    assert.is_nil(none)
    assert.equal("closed", err.code)
  end)

  it("goes by the relay alone when it is told so", function()
    local sim = assert(tunnel.simulate{})
    local t = assert(sim:open{ workspace = sim:workspace{}, direct = false })
    local conn = assert(t:conn{ timeout = 20 })
    for _ = 1, 5 do
      local ping = assert(conn:ping())
      assert.is_false(ping.direct)
      tunnel.sleep(0.05)
    end
    local stats = assert(conn:stats())
    assert.is_false(stats.network.direct_allowed)
    assert.equal(0, stats.path.direct_sent)
    assert(t:shutdown{ timeout = 5 })
    assert(sim:close())
  end)
end)
