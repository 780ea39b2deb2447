-- Streams over the fake connection: its ports are pipes with a peer behind.
local tunnel = require "tunnel"
local check = require "check"
local t = {}

function t.echo(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  check.equal(5, s:send("hello"))
  check.equal("hello", s:receive(5))
  assert(s:send("one\ntwo\nthree"))
  check.equal("one", s:receive("l"))
  check.equal("two", s:receive("*l"))
  assert(s:shutdown("send"))
  check.equal("three", s:receive("a"))
  local data, err, partial = s:receive(1)
  check.code("closed", data, err)
  check.equal("", partial)
  check.equal("", s:receive("a"))
  assert(s:flush())
end

function t.partial_results(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  s:send("abc")
  local data, err, partial = s:receive(10, { timeout = 1 })
  check.code("timeout", data, err)
  check.equal("abc", partial)
  data, err, partial = s:receive("l", { timeout = 0 })
  check.code("timeout", data, err)
  check.equal("", partial)
  s:send("xyz")
  s:shutdown("send")
  data, err, partial = s:receive("l")
  check.code("closed", data, err)
  check.equal("xyz", partial)
end

function t.limits(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  s:send(("x"):rep(70000) .. "\n")
  local data, err = s:receive("l")
  check.code("too_large", data, err)
  s:send("0123456789\n")
  local u <close> = assert(conn:dial("tcp", 7))
  u:send("0123456789\n")
  local _, e, partial = u:receive("l", { max = 5 })
  check.equal("too_large", e.code)
  check.equal("", partial)
  check.equal("0123456789", u:receive("l", { max = 10 }))
end

function t.receive_any_and_lines(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  s:send("abcdef")
  check.equal("abc", s:receive_any(3))
  check.equal("def", s:receive_any())
  s:send("a\nb\n\nlast")
  s:shutdown("send")
  local lines = {}
  for line in s:lines() do lines[#lines + 1] = line end
  check.equal("a|b||last", table.concat(lines, "|"))
end

function t.lines_raise_errors(conn)
  local s <close> = assert(conn:dial("tcp", 104))
  check.raises("reset", function() for _ in s:lines() do end end)
end

function t.send_waits_for_room(conn)
  local s <close> = assert(conn:dial("tcp", 9))   -- never reads
  local sent, err, count = s:send(("x"):rep(300000), { timeout = 1 })
  check.code("timeout", sent, err)
  check.equal(262144, count)
  local ok, e = s:flush{ timeout = 1 }
  check.code("timeout", ok, e)
end

function t.large_transfer(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  local data = ("0123456789abcdef"):rep(65536)
  local sender = tunnel.spawn(function()
    assert(s:send(data))
    s:shutdown("send")
  end)
  check.equal(data, s:receive("a"))
  sender:wait()
end

function t.one_waiter_a_direction(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  local task = tunnel.spawn(function() return s:receive(1) end)
  tunnel.sleep(0.1)
  check.raises("another task is receiving", s.receive, s, 1)
  s:send("x")
  check.equal("x", (task:wait()))
end

function t.close(conn)
  local s = assert(conn:dial("tcp", 7))
  local waiting = tunnel.spawn(function() return s:receive(1) end)
  tunnel.sleep(0.1)
  s:close()
  s:close()
  check.code("closed", waiting:wait())
  check.raises("the stream is closed", s.send, s, "x")
  check.raises("streams.lua:", function() s:receive(1) end)
  assert(tostring(s):find("^stream #%d+ %(closed%)$"), tostring(s))
end

function t.canceled_receive_frees_the_direction(conn)
  local s <close> = assert(conn:dial("tcp", 7))
  local task = tunnel.spawn(function() return s:receive(1) end)
  tunnel.sleep(0.1)
  task:cancel()
  check.code("canceled", task:wait())
  s:send("y")
  check.equal("y", s:receive(1))
end

function t.peers_reset(conn)
  local s <close> = assert(conn:dial("tcp", 104))
  local data, err = s:receive("a")
  check.code("reset", data, err)
end

function t.splice(conn)
  local a <close> = assert(conn:dial("tcp", 7))
  local b <close> = assert(conn:dial("tcp", 19))    -- sends 1000 bytes, ends
  local to_b, to_a
  local task = tunnel.spawn(function() to_b, to_a = tunnel.splice(a, b) end)
  tunnel.sleep(0.1)
  assert(task:wait() == nil)
  check.equal(1000, to_a)
  check.equal(1000, to_b)
  check.raises("the same stream twice", tunnel.splice, a, a)
end

function t.splice_and_close(conn)
  local a = assert(conn:dial("tcp", 7))
  local b <close> = assert(conn:dial("tcp", 7))
  local task = tunnel.spawn(function() return tunnel.splice(a, b) end)
  tunnel.sleep(0.1)
  check.raises("another task", b.receive, b, 1)
  a:close()
  check.code("closed", task:wait())
  b:send("x")
  check.equal("x", b:receive(1))
  local c <close> = assert(conn:dial("tcp", 7))
  check.code("timeout", tunnel.splice(b, c, { timeout = 1 }))
end

function t.dial_fails(conn)
  local s, err = conn:dial("tcp", 1000)
  check.code("refused", s, err)
  s, err = conn:dial("tcp", 1001, { timeout = 1 })    -- never answers
  check.code("timeout", s, err)
  local task = tunnel.spawn(conn.dial, conn, "tcp", 1001)
  tunnel.sleep(0.1)
  task:cancel()
  check.code("canceled", task:wait())
  check.raises("no such port", conn.dial, conn, "tcp", 0)
  check.raises("unknown option 'port'", conn.dial, conn, "tcp", 7, { port = 1 })
end

function t.conn_fields(conn)
  check.equal("main", conn.agent_name)
  check.equal("fd7a::1", conn.address)
  assert(conn.agent_id:find("^%x+%-%x+"))
  check.equal("applicationUp", conn.tunnel:state())
  assert(tostring(conn):find("^conn #"))
end

function t.ping(conn)
  local answer = assert(conn:ping())
  check.equal(0.025, answer.latency)
  check.equal(true, answer.direct)
  check.equal("192.0.2.1:9", answer.endpoint)
  assert(conn:await_reachable())
end

function t.udp(conn)
  local d <close> = assert(conn:dial("udp", 7))
  check.equal(3, d:send("abc"))
  check.equal("abc", d:receive())
  check.code("timeout", d:receive{ timeout = 1 })
end

function t.local_sockets()
  local got = {}
  local listener <close> = assert(tunnel.listen("mem:1", function(stream)
    got[#got + 1] = stream:receive("l")
    stream:send("bye\n")
  end))
  check.equal("mem:1", listener:local_address())
  local c <close> = assert(tunnel.connect("mem:1"))
  c:send("hi\n")
  check.equal("bye", c:receive("l"))
  check.equal("hi", got[1])
  check.equal("", c:receive("a"))    -- the handler's stream was closed
  check.code("refused", tunnel.connect("mem:2"))
end

function t.stdio()
  io.write("a", 1, "\n")
  print("b", nil)
  io.stdout:write("c"):write("d\n")
  io.stderr:write("e\n")
  check.equal("line1", io.read())
  check.equal(42, io.read("n"))
  check.equal("xy", (io.read(2)))
  check.equal("z\n", io.read("L"))
  local rest = {}
  for line in io.lines() do rest[#rest + 1] = line end
  check.equal("p|q", table.concat(rest, "|"))
  check.equal(nil, io.read())
  check.equal("", io.read("a"))
  assert(tunnel.stdio():send("f\n"))
  check.raises("files need", io.lines, "/etc/passwd")
end

function t.fsm()
  local state, actions = tunnel.fsm.step("waitForAgent", { no_wait_for_scripts = true },
    { agent_update = { lifecycle = "starting", id = tunnel.uuid() } })
  check.equal("establishTailnet", state)
  check.equal("connect_tailnet", actions[1])
  check.equal(10, #tunnel.fsm.states)
  check.equal(7, #tunnel.fsm.events)
  local machine = tunnel.fsm.step({ state = "init" }, nil, { abort = {} })
  check.equal("exit", machine.state)
  check.raises("unknown event 'x'", tunnel.fsm.step, "init", nil, { x = {} })
end

return check.app(t)
