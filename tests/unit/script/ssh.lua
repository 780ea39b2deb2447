-- conn:ssh() against the embedded deployment's SSH server; real children.
local tunnel = require "tunnel"
local check = require "check"
local t = {}

function t.exec(conn)
  local ssh <close> = assert(conn:ssh())
  local result = assert(ssh:exec("echo out; echo err >&2; exit 3"))
  check.equal("out\n", result.stdout)
  check.equal("err\n", result.stderr)
  check.equal(3, result.status)
  check.equal(nil, result.signal)
end

function t.exec_options(conn)
  local ssh <close> = assert(conn:ssh())
  local result = assert(ssh:exec("cat; echo $GREETING", { stdin = "in\n", env = { GREETING = "hi" } }))
  check.equal("in\nhi\n", result.stdout)
  result = assert(ssh:exec{ "printf", "%s|", "a b", "it's", "$HOME", "" })
  check.equal("a b|it's|$HOME||", result.stdout)
  result = assert(ssh:exec("kill -9 $$"))
  check.equal("KILL", result.signal)
  check.code("too_large", ssh:exec("yes | head -c 100000", { max = 1000 }))
  check.code("timeout", ssh:exec("sleep 20", { timeout = 0.05 }))
  check.raises("unknown option 'stdn'", ssh.exec, ssh, "true", { stdn = "x" })
  check.raises("unknown option 'pty.row'", ssh.exec, ssh, "true", { pty = { row = 1 } })
end

function t.large_input(conn)
  local ssh <close> = assert(conn:ssh())
  local data = ("0123456789abcdef"):rep(1 << 15)
  local result = assert(ssh:exec("cat", { stdin = data }))
  check.equal(data, result.stdout)
end

function t.channel(conn)
  local ssh <close> = assert(conn:ssh())
  local channel <close> = assert(ssh:open("read x; echo got $x; echo e >&2; exit 4"))
  assert(channel:send("word\n"))
  check.equal("got word", channel:receive("l"))
  check.equal("e", channel.stderr:receive("l"))
  local result = assert(channel:wait())
  check.equal(4, result.status)
  check.code("closed", channel:receive(1))
  assert(tostring(channel):find("^ssh_channel #"), tostring(channel))
end

function t.signal_and_pty(conn)
  local ssh <close> = assert(conn:ssh())
  local channel <close> = assert(ssh:open("sleep 100"))
  assert(channel:signal("TERM"))
  check.equal("TERM", assert(channel:wait()).signal)
  local terminal <close> = assert(ssh:open("read x; stty size",
    { pty = { rows = 30, columns = 100 } }))
  assert(terminal:resize(31, 101))
  terminal:send("\n")
  local text = terminal:receive("a")
  assert(text:find("31 101", 1, true), text)
end

function t.shell(conn)
  local ssh <close> = assert(conn:ssh())
  local shell <close> = assert(ssh:shell{ pty = false })
  shell:send("echo shell; exit 5\n")
  check.equal("shell", shell:receive("l"))
  check.equal(5, shell:wait().status)
end

function t.closing_the_session_ends_its_channels(conn)
  local ssh = assert(conn:ssh())
  local channel = assert(ssh:open("sleep 100"))
  local reader = tunnel.spawn(function() return channel:receive(1) end)
  local runner = tunnel.spawn(function() return ssh:exec("sleep 100") end)
  tunnel.sleep(0.05)
  ssh:close()
  check.code("closed", reader:wait())
  check.code("closed", runner:wait())
  check.code("closed", channel:wait())
  check.raises("closed", channel.send, channel, "x")
  check.raises("the ssh is closed", ssh.exec, ssh, "true")
  channel:close()
end

function t.cancelled_exec(conn)
  local ssh <close> = assert(conn:ssh())
  local task = tunnel.spawn(function() return ssh:exec("sleep 100") end)
  tunnel.sleep(0.05)
  task:cancel()
  check.code("canceled", task:wait())
  check.equal("after\n", assert(ssh:exec("echo after")).stdout)
end

return check.app(t)
