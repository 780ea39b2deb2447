local tunnel = require "tunnel"
local check = require "check"
local t = {}

function t.spawn_and_wait()
  local task = tunnel.spawn(function(a, b) tunnel.sleep(1) return a + b, "x" end, 1, 2)
  local sum, x = task:wait()
  check.equal(3, sum)
  check.equal("x", x)
  check.equal(3, (task:wait()))
end

function t.sleep_takes_time()
  local before = tunnel.now()
  tunnel.sleep(1.5)
  assert(math.abs(tunnel.now() - before - 1.5) < 0.001)
end

function t.failure_is_an_error_value()
  local task = tunnel.spawn(function() error("boom") end)
  local ok, err = task:wait()
  check.code("internal", ok, err)
  assert(err.message:find("tasks.lua:%d+: boom"), err.message)
  assert(err.traceback:find("stack traceback", 1, true))
end

function t.raised_error_value_keeps_code()
  local task = tunnel.spawn(function()
    local c = tunnel.channel(1)
    c:close()
    assert(c:receive())
  end)
  check.code("closed", task:wait())
end

function t.error_value_works_in_tostring_concat_assert()
  local _, err = tunnel.channel(1):receive{ timeout = 0 }
  check.equal("timeout", err.code)
  check.equal(tostring(err) .. "!", err .. "!")
  check.raises(err.message, assert, nil, err)
end

function t.wait_with_timeout()
  local task = tunnel.spawn(tunnel.sleep, 10)
  check.code("timeout", task:wait{ timeout = 1 })
  check.code("timeout", task:wait{ timeout = 0 })
  task:cancel()
  check.code("canceled", task:wait{ timeout = math.huge })
end

function t.cancel_runs_close_variables_which_may_wait()
  local log = {}
  local task = tunnel.spawn(function()
    local _ <close> = setmetatable({}, { __close = function()
      log[#log + 1] = "a"
      tunnel.sleep(1)
      log[#log + 1] = "b"
      local ok, err = pcall(tunnel.sleep, 5)
      log[#log + 1] = tostring(ok) .. (err.code or "")
    end })
    tunnel.sleep(100)
    log[#log + 1] = "never"
  end)
  tunnel.sleep(0.1)
  local before = tunnel.now()
  task:cancel()
  check.code("canceled", task:wait())
  check.equal("a b falsecanceled", table.concat(log, " "))
  assert(math.abs(tunnel.now() - before - 2) < 0.01, tunnel.now() - before)
end

function t.cancel_is_raised_at_every_later_wait()
  local seen = 0
  local task = tunnel.spawn(function()
    for _ = 1, 3 do
      local ok, err = pcall(tunnel.sleep, 1)
      if not ok and err.code == "canceled" then seen = seen + 1 end
    end
    return "done"
  end)
  tunnel.sleep(0.1)
  task:cancel()
  check.equal("done", (task:wait()))
  check.equal(3, seen)
end

function t.with_timeout_gives_results()
  check.equal(7, tunnel.with_timeout(1, function(x) tunnel.sleep(0.5) return x end, 7))
end

function t.with_timeout_cancels()
  local closed = false
  local ok, err = tunnel.with_timeout(1, function()
    local _ <close> = setmetatable({}, { __close = function() closed = true end })
    tunnel.sleep(10)
  end)
  check.code("timeout", ok, err)
  assert(closed)
end

function t.with_timeout_passes_errors_on()
  check.raises("inner", tunnel.with_timeout, 1, function() error("inner") end)
end

function t.group_waits_for_all()
  local sum = 0
  do
    local group <close> = tunnel.group{ limit = 2 }
    local before = tunnel.now()
    for i = 1, 4 do group:spawn(function() tunnel.sleep(1) sum = sum + i end) end
    check.equal(true, (group:wait()))
    assert(math.abs(tunnel.now() - before - 2) < 0.01)
  end
  check.equal(10, sum)
end

function t.group_fails_with_the_first_failure()
  local group = tunnel.group{}
  local other = group:spawn(tunnel.sleep, 100)
  group:spawn(function() tunnel.sleep(1) error("first") end)
  local ok, err = group:wait()
  check.code("internal", ok, err)
  assert(err.message:find("first", 1, true))
  check.code("canceled", other:wait())
end

function t.leaving_a_group_cancels()
  local task
  do
    local group <close> = tunnel.group{}
    task = group:spawn(tunnel.sleep, 100)
  end
  check.code("canceled", task:wait{ timeout = 0.1 })
end

function t.channel_is_bounded()
  local channel = tunnel.channel(2)
  local got = {}
  local reader = tunnel.spawn(function()
    while true do
      local value, err = channel:receive()
      if not value then return err.code end
      got[#got + 1] = value
    end
  end)
  for i = 1, 5 do assert(channel:send(i)) end
  channel:close()
  check.equal("closed", (reader:wait()))
  check.equal("12345", table.concat(got))
  check.code("closed", channel:send(1))
end

function t.channel_of_nothing_is_a_rendezvous()
  local channel = tunnel.channel(0)
  check.code("timeout", channel:send(1, { timeout = 1 }))
  local reader = tunnel.spawn(function() tunnel.sleep(1) return channel:receive() end)
  assert(channel:send("x"))
  check.equal("x", (reader:wait()))
end

function t.mutex_excludes()
  local mutex, inside, most = tunnel.mutex(), 0, 0
  local group <close> = tunnel.group{}
  for _ = 1, 5 do
    group:spawn(function()
      local guard <close> = mutex:lock()
      inside = inside + 1
      most = math.max(most, inside)
      tunnel.sleep(0.1)
      inside = inside - 1
      return guard
    end)
  end
  assert(group:wait())
  check.equal(1, most)
  local held <close> = mutex:lock()
  check.code("timeout", mutex:lock{ timeout = 1 })
  return held
end

function t.a_wait_in_a_coroutine_suspends_the_task()
  local order = {}
  local other = tunnel.spawn(function()
    tunnel.sleep(0.5)
    order[#order + 1] = "other"
  end)
  local gen = coroutine.wrap(function()
    for i = 1, 2 do
      tunnel.sleep(1)
      coroutine.yield(i)
    end
  end)
  for _ = 1, 2 do
    local i = gen()    -- waits before order is looked at
    order[#order + 1] = i
  end
  assert(other:wait() == nil)
  check.equal("other 1 2", table.concat(order, " "))
end

function t.coroutines_behave()
  local co = coroutine.create(function(a, b)
    local c = coroutine.yield(a + b)
    local d, e = coroutine.yield(c * 2)
    return d + e
  end)
  check.equal("suspended", coroutine.status(co))
  check.equal(3, select(2, coroutine.resume(co, 1, 2)))
  check.equal(20, select(2, coroutine.resume(co, 10)))
  check.equal(7, select(2, coroutine.resume(co, 3, 4)))
  check.equal("dead", coroutine.status(co))
  check.equal("cannot resume dead coroutine", select(2, coroutine.resume(co)))
  local bad = coroutine.create(function() error({ 1 }) end)
  local ok, err = coroutine.resume(bad)
  assert(not ok and err[1] == 1)
  check.raises("outside a coroutine", coroutine.yield)
  local me = coroutine.running()
  assert(not coroutine.resume(me))
  local nested = coroutine.wrap(function()
    check.equal("normal", coroutine.status(me))
    local inner = coroutine.wrap(function() coroutine.yield("in") error("oops") end)
    coroutine.yield(inner())
    inner()
  end)
  check.equal("in", nested())
  check.raises("oops", nested)
end

function t.coroutine_close_runs_close_variables()
  local closed
  local co = coroutine.create(function()
    local _ <close> = setmetatable({}, { __close = function() closed = true end })
    coroutine.yield()
  end)
  coroutine.resume(co)
  assert(coroutine.close(co) and closed)
end

function t.coroutines_where_lua_cannot_yield()
  local s = ("abc"):gsub(".", function(c)
    local gen = coroutine.wrap(function() coroutine.yield(c:upper()) end)
    return gen()
  end)
  check.equal("ABC", s)
end

function t.no_waits_where_lua_cannot_yield()
  local raised
  table.sort({ 2, 1 }, function(a, b)
    local ok, err = pcall(tunnel.sleep, 1)
    raised = not ok and err
    return a < b
  end)
  assert(raised:find("`sleep` waits: not allowed here", 1, true), raised)
  check.raises("`sleep` waits: not allowed here", string.gsub, "a", "a",
    function() coroutine.wrap(function() tunnel.sleep(1) end)() end)
end

function t.unknown_options_are_named()
  local task = tunnel.spawn(function() end)
  check.raises("unknown option 'tiemout' (there are: timeout)", task.wait, task, { tiemout = 1 })
  check.raises("tasks.lua:", function() task:wait{ x = 1 } end)
  check.raises("option 'timeout' must be a number", task.wait, task, { timeout = "1" })
end

function t.misuse_names_the_caller()
  local ok, err = pcall(function() tunnel.sleep("x") end)
  assert(not ok and err:find("^.*tasks.lua:%d+: bad argument #1"), err)
end

function t.busy_tasks_take_turns()
  local done = {}
  local function work(name)
    for _ = 1, 3e5 do local _ = {} end
    done[#done + 1] = name
  end
  local a, b = tunnel.spawn(work, "a"), tunnel.spawn(work, "b")
  tunnel.spawn(function() done[#done + 1] = "quick" end):wait()
  check.equal("quick", done[1])
  a:wait()
  b:wait()
end

function t.tostring_is_readable()
  local task = tunnel.spawn(tunnel.sleep, 1)
  assert(tostring(task):find("^task #%d+ %(ready%)$"), tostring(task))
  task:wait()
  assert(tostring(task):find("%(done%)$"))
  assert(tostring(tunnel.channel(1)):find("^channel #%d+$"))
end

function t.json_and_uuid()
  local json = tunnel.json
  check.equal(1, json.decode('{"a":[1,null]}').a[1])
  check.equal(json.null, json.decode('[null]')[1])
  check.equal('{"a":1}', json.encode{ a = 1 })
  check.code("protocol", json.decode("{"))
  check.code("too_large", json.decode(('"%s"'):format(("x"):rep(2 << 20))))
  assert(json.decode(('"%s"'):format(("x"):rep(2 << 20)), { max = 3 << 20 }))
  check.raises("Cannot serialise function", json.encode, print)
  assert(tunnel.uuid():find("^%x+%-%x+%-4%x+%-%x+%-%x+$"))
end

function t.the_sandbox_is_closed()
  for _, name in ipairs{ "dofile", "loadfile", "package", "debug" } do
    check.equal(nil, _G[name], name)
  end
  check.equal(nil, string.dump)
  check.equal(nil, os.execute)
  check.equal(nil, os.getenv)
  check.equal(nil, io.open)
  check.raises("only text", load, "x", "x", "b")
  assert(load("\27Lua") == nil)
  check.equal(5, load("return 5")())
  check.equal(1700000000, os.time() // 100000 * 100000)
end

function t.env_without_secrets()
  check.equal("yes", tunnel.env("TH_TEST_PLAIN"))
  check.equal(nil, tunnel.env("CODER_SESSION_TOKEN"))
  check.equal(nil, tunnel.env("TH_TEST_UNSET"))
end

function t.require_is_ours()
  check.equal(check, require "check")
  check.raises("not found", require, "no.such.module")
  check.raises("no name of a module", require, "../etc/passwd")
end

function t.many_tasks()
  local tasks = {}
  for i = 1, 1000 do tasks[i] = tunnel.spawn(function() tunnel.sleep(0.1) return i end) end
  local sum = 0
  for i = 1, 1000 do sum = sum + tasks[i]:wait() end
  check.equal(500500, sum)
end

return check.app(t)
